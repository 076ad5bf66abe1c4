"""Low dose in radiography: Poisson noise of the counts behind the patient.

Veldkamp et al. 2009, A technique for simulating the effect of dose reduction on image quality in
digital chest radiography (J Digit Imaging 22), without the detector's correlation.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp
from typing import ClassVar

from torch import Tensor

from attacks.streams import Streams
from robust.corruptions.contract import Family, at_severity
from robust.corruptions.scanner.draws import grey_noise

ATTENUATION = 3.0
"""Optical depth of the brightest grey level: a twentieth of the counts passes."""
COUNTS = 12800.0
"""Counts of a pixel without an object at full dose, where a pixel gathers many of a detector."""


@dataclass(frozen=True)
class LowDose:
    """Counts are N f exp(-3 x) at a fraction f of the dose, and the image is their logarithm.

    Bright (dense) parts suffer most. The Poisson law is drawn as a normal one of the same mean and
    variance: no pixel has fewer than 20 counts. The noise of the given image stays.
    """

    name: ClassVar[str] = "low_dose"
    family: ClassVar[Family] = "scanner"
    differentiable: ClassVar[bool] = True
    random: ClassVar[bool] = True
    definition: str = "Poisson noise in counts at 1/2 to 1/32 of the dose, Veldkamp et al. 2009"
    note: str = ""
    fractions: tuple[float, ...] = (1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32)
    """Fractions of the dose."""

    def __call__(self, x: Tensor, severity: int, streams: Streams) -> Tensor:
        """The image of noisy counts; channels share the noise."""
        if severity == 0:
            return x
        air = COUNTS * at_severity(self.fractions, severity)
        expected = air * (-ATTENUATION * x).exp()
        counts = expected + expected.sqrt() * grey_noise(x, streams)
        least = 0.1 * air * exp(-ATTENUATION)
        return (-(counts.clamp_min(least) / air).log() / ATTENUATION).clamp(0, 1)
