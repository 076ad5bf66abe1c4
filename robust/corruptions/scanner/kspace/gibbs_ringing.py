"""Gibbs ringing of MRI: k-space that ends too early leaves ripples beside edges.

Gallagher et al. 2008, An introduction to the Fourier transform (AJR 190); the disc of frequencies
is that of MONAI's GibbsNoise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from attacks.streams import Streams
from robust.corruptions.contract import Family, at_severity
from robust.corruptions.scanner.kspace.spectrum import (
    line_numbers,
    readout_numbers,
    to_kspace,
    to_magnitude,
)


@dataclass(frozen=True)
class GibbsRinging:
    """Only a disc of frequencies around the centre of k-space is kept."""

    name: ClassVar[str] = "gibbs_ringing"
    family: ClassVar[Family] = "scanner"
    differentiable: ClassVar[bool] = True
    random: ClassVar[bool] = False
    definition: str = "truncation of k-space to 80 to 25 % of the highest frequency"
    note: str = ""
    kept: tuple[float, ...] = (0.8, 0.6, 0.45, 0.35, 0.25)
    """Radius of the disc, in units of the highest frequency of each axis."""

    def __call__(self, x: Tensor, severity: int, streams: Streams) -> Tensor:
        """The magnitude image."""
        if severity == 0:
            return x
        height, width = x.shape[-2:]
        radius = (line_numbers(x) * 2 / height).square() + (readout_numbers(x) * 2 / width).square()
        return to_magnitude(to_kspace(x) * (radius <= at_severity(self.kept, severity) ** 2))
