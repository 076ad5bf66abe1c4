"""Gaussian noise: as strong everywhere (MedMNIST-C, 2406.17536)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from attacks.streams import Streams
from robust.corruptions.channels import through_rgb
from robust.corruptions.contract import Family, at_severity


@dataclass(frozen=True)
class GaussianNoise:
    """Normal noise on every pixel and channel, cut off at black and white."""

    definition: str
    """The data set whose severities these are."""
    levels: tuple[float, ...]
    """Standard deviation at each severity, of images in [0, 1]."""
    note: str = ""
    """What a reader must know."""

    name: ClassVar[str] = "gaussian_noise"
    family: ClassVar[Family] = "noise"
    differentiable: ClassVar[bool] = True
    random: ClassVar[bool] = True

    def __call__(self, x: Tensor, severity: int, streams: Streams) -> Tensor:
        """The images at a severity."""
        if severity == 0:
            return x
        sigma = at_severity(self.levels, severity)
        return through_rgb(x, lambda rgb: (rgb + sigma * streams.normal(rgb)).clamp(0, 1))
