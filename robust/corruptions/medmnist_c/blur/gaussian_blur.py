"""Gaussian blur of a kernel size (MedMNIST-C, 2406.17536)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks.streams import Streams
from robust.corruptions.contract import Family, at_severity
from robust.corruptions.medmnist_c.blur.convolution import correlate


@dataclass(frozen=True)
class GaussianBlur:
    """A Gaussian whose sigma follows from its size: 0.15 times it plus 0.35 pixels."""

    definition: str
    """The data set whose severities these are."""
    levels: tuple[int, ...]
    """The kernel's size at each severity, odd, in pixels."""
    note: str = ""
    """What a reader must know."""

    name: ClassVar[str] = "gaussian_blur"
    family: ClassVar[Family] = "blur"
    differentiable: ClassVar[bool] = True
    random: ClassVar[bool] = False

    def __call__(self, x: Tensor, severity: int, streams: Streams) -> Tensor:
        """The images at a severity."""
        if severity == 0:
            return x
        size = at_severity(self.levels, severity)
        half, sigma = size // 2, 0.15 * size + 0.35
        line = torch.exp(-((torch.arange(size) - half).double() ** 2) / (2 * sigma**2))
        line = line / line.sum()
        return correlate(x, torch.outer(line, line), (half, half), "reflect").clamp(0, 1)
