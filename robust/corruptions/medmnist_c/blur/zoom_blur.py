"""Zoom blur: the mean of ever larger views (MedMNIST-C, 2406.17536)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from attacks.streams import Streams
from robust.corruptions.contract import Family, at_severity


@dataclass(frozen=True)
class ZoomBlur:
    """The mean of the image and of its enlarged middle, at factors from 1 up in equal steps."""

    definition: str
    """The data set whose severities these are."""
    levels: tuple[tuple[float, float], ...]
    """Where the factors end, this value left out, and their step at each severity."""
    note: str = ""
    """What a reader must know."""

    name: ClassVar[str] = "zoom_blur"
    family: ClassVar[Family] = "blur"
    differentiable: ClassVar[bool] = True
    random: ClassVar[bool] = False

    def __call__(self, x: Tensor, severity: int, streams: Streams) -> Tensor:
        """The images at a severity."""
        if severity == 0:
            return x
        stop, step = at_severity(self.levels, severity)
        planes = x.reshape(len(x), -1, *x.shape[-2:])
        # By rounding, NumPy's range holds or leaves out its end; the definition inherits that.
        factors = np.arange(1, stop, step)
        total = sum((_enlarged(planes, float(factor)) for factor in factors), planes)
        return (total / (len(factors) + 1)).reshape(x.shape).clamp(0, 1)


def _enlarged(x: Tensor, factor: float) -> Tensor:
    """The middle of the images, enlarged to their size; corners lie on corners."""
    shape = x.shape[-2:]
    sides = [math.ceil(side / factor) for side in shape]
    (top, left), (rows, columns) = [(side - cut) // 2 for side, cut in zip(shape, sides)], sides
    middle = x[..., top : top + rows, left : left + columns]
    large = [round(cut * factor) for cut in sides]
    view = F.interpolate(middle, large, mode="bilinear", align_corners=True)
    top, left = [(side - cut) // 2 for side, cut in zip(large, shape)]
    return view[..., top : top + shape[0], left : left + shape[1]]
