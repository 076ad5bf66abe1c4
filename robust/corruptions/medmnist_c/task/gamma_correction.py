"""Gamma correction, up or down: another exposure or screen (MedMNIST-C, 2406.17536)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks.streams import Streams
from robust.corruptions.contract import Family, at_severity


@dataclass(frozen=True)
class GammaCorrection:
    """Every pixel to a power; black stays black, white stays white."""

    name: str
    """`gamma_corr_up`, which darkens, or `gamma_corr_down`."""
    definition: str
    """The data set whose severities these are."""
    levels: tuple[float, ...]
    """The exponent at each severity."""
    note: str = ""
    """What a reader must know."""

    family: ClassVar[Family] = "task"
    differentiable: ClassVar[bool] = True
    random: ClassVar[bool] = False

    def __call__(self, x: Tensor, severity: int, streams: Streams) -> Tensor:
        """The images at a severity."""
        if severity == 0:
            return x
        exponent = at_severity(self.levels, severity)
        if exponent >= 1:
            return x**exponent
        # The slope at black is infinite there; it counts as zero.
        black = x <= 0
        return torch.where(black, 0, x.masked_fill(black, 1) ** exponent)
