"""Low dose in CT: noise in the image domain, coloured as filtered backprojection leaves it.

Riederer, Pelc and Chesler 1978, The noise power spectrum in computed X-ray tomography (Phys Med
Biol 23): the power is the ramp times the square of the window.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sqrt
from typing import ClassVar

import torch
from torch import Tensor

from attacks.streams import Streams
from robust.corruptions.contract import Family, at_severity
from robust.corruptions.scanner.draws import grey_noise

FULL_DOSE = 12.0
"""Standard deviation of the noise at full dose, in HU."""
WINDOW = 400.0
"""Width of the window that [0, 1] shows, in HU: soft tissue."""


@dataclass(frozen=True)
class LowDoseCT:
    """Noise is added whose variance makes up for the dose: 12 HU at full dose, in a 400 HU window.

    Its spectrum is |f| times a Hann window squared, the same everywhere: streaks behind bones are
    not simulated. Each slice has noise of its own.
    """

    name: ClassVar[str] = "low_dose_ct"
    family: ClassVar[Family] = "scanner"
    differentiable: ClassVar[bool] = True
    random: ClassVar[bool] = True
    definition: str = "filtered-backprojection noise at 1/2 to 1/32 of the dose, Riederer 1978"
    note: str = ""
    fractions: tuple[float, ...] = (1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32)
    """Fractions of the dose."""

    def __call__(self, x: Tensor, severity: int, streams: Streams) -> Tensor:
        """The noisy image; channels share the noise."""
        if severity == 0:
            return x
        added = FULL_DOSE / WINDOW * sqrt(1 / at_severity(self.fractions, severity) - 1)
        return (x + added * _coloured(grey_noise(x, streams))).clamp(0, 1)


def _coloured(noise: Tensor) -> Tensor:
    """White noise of variance 1 with the spectrum of CT, still of variance 1."""
    height, width = noise.shape[-2:]
    down = torch.fft.fftfreq(height, dtype=noise.dtype, device=noise.device)[:, None]
    right = torch.fft.fftfreq(width, dtype=noise.dtype, device=noise.device)
    frequency = (down**2 + right**2).sqrt()
    window = torch.where(frequency < 0.5, (1 + torch.cos(2 * pi * frequency)) / 2, 0)
    gain = frequency.sqrt() * window
    gain = gain / gain.square().mean().sqrt().clamp_min(1e-12)
    coloured: Tensor = torch.fft.ifft2(torch.fft.fft2(noise) * gain).real
    return coloured
