"""Convolution of images with one kernel, or one per case, through the Fourier transform."""

from __future__ import annotations

from typing import Literal

import scipy.fft
import torch
import torch.nn.functional as F
from torch import Tensor

Border = Literal["reflect", "replicate"]


def correlate(x: Tensor, kernel: Tensor, origin: tuple[int, int], border: Border) -> Tensor:
    """Each pixel p becomes the sum over j of `kernel[j] * x[p + j - origin]`.

    `x` is `(n, c, *, h, w)`, `kernel` `(h, w)` or `(n, h, w)`. Beyond its border an image is
    mirrored without its outermost pixels (`reflect`), or these are repeated (`replicate`). The cost
    does not depend on the kernel's size; the error is that of rounding, about 1e-6.
    """
    height, width = x.shape[-2:]
    rows, columns = kernel.shape[-2:]
    planes = x.reshape(len(x), -1, height, width)
    planes = planes if planes.dtype == torch.float64 else planes.float()
    sides = (origin[1], columns - 1 - origin[1], origin[0], rows - 1 - origin[0])
    size = tuple(
        scipy.fft.next_fast_len(a + b - 1, real=True) for a, b in ((height, rows), (width, columns))
    )
    spectra = torch.fft.rfft2(kernel.to(planes), s=size).conj()
    spectra = (
        spectra.expand(len(x), 1, *spectra.shape[-2:]) if kernel.dim() == 2 else spectra[:, None]
    )
    # On a CPU one case after the other: its spectrum stays in the cache.
    step = len(x) if x.is_cuda else 1
    done = []
    for first in range(0, len(x), step):
        spectrum = torch.fft.rfft2(_bordered(planes[first : first + step], sides, border), s=size)
        filtered = torch.fft.irfft2(spectrum * spectra[first : first + step], s=size)
        done.append(filtered[..., :height, :width])
    return torch.cat(done).reshape(x.shape).to(x.dtype)


def _bordered(x: Tensor, sides: tuple[int, int, int, int], border: Border) -> Tensor:
    """Wider by left, right, top and bottom; mirrored again and again where an image is narrow."""
    if border == "replicate":
        return F.pad(x, sides, mode="replicate")
    left, right, top, bottom = sides
    while left or right or top or bottom:
        height, width = x.shape[-2:]
        if min(height, width) == 1:
            return F.pad(x, (left, right, top, bottom), mode="replicate")
        now = (
            min(left, width - 1),
            min(right, width - 1),
            min(top, height - 1),
            min(bottom, height - 1),
        )
        x = F.pad(x, now, mode="reflect")
        left, right, top, bottom = left - now[0], right - now[1], top - now[2], bottom - now[3]
    return x
