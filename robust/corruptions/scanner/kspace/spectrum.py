"""From an image to k-space and back to the magnitude image, in the plane of the slice."""

from __future__ import annotations

import torch
from torch import Tensor

PLANE = (-2, -1)
"""Axes of a slice: phase encoding (rows of k-space are read one after the other), readout."""


def to_kspace(x: Tensor) -> Tensor:
    """The spectrum `(n, c, *space)` complex, lowest frequency first."""
    spectrum: Tensor = torch.fft.fft2(x, dim=PLANE)
    return spectrum


def to_magnitude(spectrum: Tensor) -> Tensor:
    """The magnitude image of a spectrum, cut to [0, 1]."""
    magnitude: Tensor = torch.fft.ifft2(spectrum, dim=PLANE).abs()
    return magnitude.clamp(0, 1)


def line_numbers(x: Tensor) -> Tensor:
    """Numbers of the lines of k-space, `(h, 1)`, as `to_kspace` orders them: 0, 1, ..., -1."""
    return _numbers(x.shape[-2], x)[:, None]


def readout_numbers(x: Tensor) -> Tensor:
    """Numbers of the points of a line, `(1, w)`, in the same order."""
    return _numbers(x.shape[-1], x)[None]


def _numbers(count: int, x: Tensor) -> Tensor:
    numbers: Tensor = torch.fft.fftfreq(count, 1 / count, dtype=x.dtype, device=x.device)
    return numbers
