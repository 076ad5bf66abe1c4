"""Brightness, up or down: every pixel times a factor (MedMNIST-C, 2406.17536)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from attacks.streams import Streams
from robust.corruptions.contract import Family, at_severity


@dataclass(frozen=True)
class Brightness:
    """Every pixel times a factor; what becomes brighter than white is white."""

    name: str
    """`brightness_up` or `brightness_down`."""
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
        return (x * at_severity(self.levels, severity)).clamp(0, 1)
