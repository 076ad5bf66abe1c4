"""Rician noise of MRI: normal noise in the real and the imaginary channel, then the magnitude.

Gudbjartsson and Patz 1995, The Rician distribution of noisy MRI data (Magn Reson Med 34).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from attacks.streams import Streams
from robust.corruptions.contract import Family, at_severity
from robust.corruptions.scanner.draws import grey_noise


@dataclass(frozen=True)
class RicianNoise:
    """The background grows brighter, since a magnitude is never negative."""

    name: ClassVar[str] = "rician_noise"
    family: ClassVar[Family] = "scanner"
    differentiable: ClassVar[bool] = True
    random: ClassVar[bool] = True
    definition: str = "Gudbjartsson and Patz 1995, sigma of 2 to 15 % of the range"
    note: str = ""
    sigmas: tuple[float, ...] = (0.02, 0.04, 0.07, 0.1, 0.15)
    """Standard deviation in each of the two channels."""

    def __call__(self, x: Tensor, severity: int, streams: Streams) -> Tensor:
        """The noisy magnitude; channels of the image share the noise."""
        if severity == 0:
            return x
        sigma = at_severity(self.sigmas, severity)
        real = x + sigma * grey_noise(x, streams)
        imaginary = sigma * grey_noise(x, streams)
        return (real.square() + imaginary.square()).sqrt().clamp(0, 1)
