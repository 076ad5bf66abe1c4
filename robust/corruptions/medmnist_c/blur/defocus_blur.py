"""Defocus: every point becomes a disk (MedMNIST-C, 2406.17536, after ImageNet-C, 1903.12261)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.streams import Streams
from robust.corruptions.contract import Family, at_severity
from robust.corruptions.medmnist_c.blur.convolution import correlate

LARGEST = 8
"""Radius up to which the kernel has 17 pixels a side."""


@dataclass(frozen=True)
class DefocusBlur:
    """A disk, whose rim is softened by a Gaussian of three pixels."""

    definition: str
    """The data set whose severities these are."""
    levels: tuple[tuple[float, float], ...]
    """Radius of the disk and sigma of its rim at each severity, in pixels; a radius at most 8."""
    note: str = ""
    """What a reader must know."""

    name: ClassVar[str] = "defocus_blur"
    family: ClassVar[Family] = "blur"
    differentiable: ClassVar[bool] = True
    random: ClassVar[bool] = False

    def __call__(self, x: Tensor, severity: int, streams: Streams) -> Tensor:
        """The images at a severity."""
        if severity == 0:
            return x
        kernel = _disk(*at_severity(self.levels, severity))
        return correlate(x, kernel, (LARGEST, LARGEST), "reflect").clamp(0, 1)


def _disk(radius: float, sigma: float) -> Tensor:
    """The kernel `(17, 17)`; a rim that would leave it is mirrored."""
    squares = torch.arange(-LARGEST, LARGEST + 1).double() ** 2
    disk = (squares[:, None] + squares <= radius**2).double()
    beside = math.exp(-1 / (2 * sigma**2))
    line = torch.tensor([beside, 1, beside], dtype=torch.float64) / (1 + 2 * beside)
    wide = F.pad((disk / disk.sum())[None, None], (1, 1, 1, 1), mode="reflect")
    return F.conv2d(wide, torch.outer(line, line)[None, None])[0, 0]
