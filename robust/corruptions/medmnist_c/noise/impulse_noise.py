"""Impulse noise, salt and pepper: some pixels black, some white (MedMNIST-C, 2406.17536)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from attacks.streams import Streams
from robust.corruptions.channels import through_rgb
from robust.corruptions.contract import Family, at_severity


@dataclass(frozen=True)
class ImpulseNoise:
    """A share of all pixels, each channel for itself, becomes black or white, half of them each."""

    definition: str
    """The data set whose severities these are."""
    levels: tuple[float, ...]
    """The share at each severity."""
    note: str = ""
    """What a reader must know."""

    name: ClassVar[str] = "impulse_noise"
    family: ClassVar[Family] = "noise"
    differentiable: ClassVar[bool] = True
    random: ClassVar[bool] = True

    def __call__(self, x: Tensor, severity: int, streams: Streams) -> Tensor:
        """The images at a severity."""
        if severity == 0:
            return x
        share = at_severity(self.levels, severity)

        def spoiled(rgb: Tensor) -> Tensor:
            drawn = streams.uniform(rgb)
            return rgb.masked_fill(drawn < share, 0).masked_fill(drawn < share / 2, 1)

        return through_rgb(x, spoiled)
