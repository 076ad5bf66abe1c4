"""Reference images averaged down to a small grid, as the detectors that read images need them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from detectors.contract import Reference


def shrink(x: Tensor, grid: tuple[int, int]) -> Tensor:
    """Images `(n, c, h, w)` on a grid of (rows, columns), each cell the mean of its pixels."""
    return x if x.shape[2:] == grid else F.adaptive_avg_pool2d(x, grid)


def thumbnails(reference: Reference, size: int) -> Tensor:
    """The reference images `(n, c, h, w)` in double precision on the CPU, at most `size` a side.

    An image is never enlarged for it: the grid is no finer than the first image. They are read a
    batch at a time. ValueError for a reference without images, or with colour and grey images.
    """
    if reference.images is None:
        raise ValueError("this detector learns from images; give Reference(..., images=...)")
    found: list[Tensor] = []
    for x in reference.images():
        grid = (min(size, x.shape[2]), min(size, x.shape[3]))
        like = found[0] if found else shrink(x, grid)
        if x.shape[1] != like.shape[1]:
            raise ValueError(
                f"the reference holds images with {like.shape[1]} and with {x.shape[1]} channels; "
                f"make them all grey: grey = true in [data]"
            )
        small = shrink(x.detach(), (like.shape[2], like.shape[3]))
        found.append(small.float().cpu())
    if not found:
        raise ValueError("the reference holds no image")
    return torch.cat(found).double()
