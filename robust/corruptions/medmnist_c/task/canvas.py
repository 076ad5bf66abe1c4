"""Masks of shapes whose lengths are pixels of 224 px images, drawn there, brought to any size."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

SHORTER_SIDE = 224
"""Of the images for which MedMNIST-C is defined, in pixels."""


def canvas_size(x: Tensor) -> tuple[int, int]:
    """Height and width of a canvas of the images' form whose shorter side is 224."""
    height, width = x.shape[-2:]
    scale = SHORTER_SIDE / min(height, width)
    return round(height * scale), round(width * scale)


def brought_to(x: Tensor, drawn: NDArray[np.uint8]) -> Tensor:
    """What was drawn, `(h, w)` or `(h, w, c)` in 0 to 255, as `(c or 1, [1,] h, w)` in [0, 1].

    It has the size, dtype and device of the images, by means over areas, or bilinear for larger
    images.
    """
    planes = torch.from_numpy(np.ascontiguousarray(drawn)).reshape(*drawn.shape[:2], -1)
    planes = planes.permute(2, 0, 1).to(x.device, x.dtype) / 255
    if planes.shape[1:] != x.shape[-2:]:
        size = (x.shape[-2], x.shape[-1])
        larger = size[0] > planes.shape[1]
        ways = {"mode": "bilinear", "align_corners": False} if larger else {"mode": "area"}
        planes = F.interpolate(planes[None], size, **ways)[0]
    return planes[:, None] if x.dim() == 5 else planes
