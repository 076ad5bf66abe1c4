"""Contrast, up or down: pixels farther from the mean or nearer (MedMNIST-C, 2406.17536)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from attacks.streams import Streams
from robust.corruptions.channels import luma
from robust.corruptions.contract import Family, at_severity


@dataclass(frozen=True)
class Contrast:
    """Distances from the image's mean brightness times a factor, cut off at black and white."""

    name: str
    """`contrast_up` or `contrast_down`."""
    definition: str
    """The data set whose severities these are."""
    levels: tuple[float, ...]
    """The factor at each severity."""
    note: str = ""
    """What a reader must know."""

    family: ClassVar[Family] = "colour"
    differentiable: ClassVar[bool] = True
    random: ClassVar[bool] = False

    def __call__(self, x: Tensor, severity: int, streams: Streams) -> Tensor:
        """The images at a severity."""
        if severity == 0:
            return x
        factor = at_severity(self.levels, severity)
        mean = luma(x).mean((-2, -1), keepdim=True)
        return (factor * x + (1 - factor) * mean).clamp(0, 1)
