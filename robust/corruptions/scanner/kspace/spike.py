"""Spike in the k-space of MRI: one false point lays stripes over the image (herringbone).

Graves and Mitchell 2013, Body MRI artifacts in clinical practice (JMRI 38).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import ClassVar

import torch
from torch import Tensor

from attacks.streams import Streams
from robust.corruptions.contract import Family, at_severity
from robust.corruptions.scanner.draws import case_draws

LOWEST, HIGHEST = 0.05, 0.4
"""Frequencies of the stripes, in cycles per pixel."""


@dataclass(frozen=True)
class KSpaceSpike:
    """Stripes of a random frequency, direction and phase are added: the transform of one point.

    The real part of the false point is shown, as MONAI's KSpaceSpikeNoise does.
    """

    name: ClassVar[str] = "kspace_spike"
    family: ClassVar[Family] = "scanner"
    differentiable: ClassVar[bool] = True
    random: ClassVar[bool] = True
    definition: str = "false point in k-space, Graves and Mitchell 2013, stripes of 3 to 22 %"
    note: str = ""
    amplitudes: tuple[float, ...] = (0.03, 0.06, 0.1, 0.15, 0.22)
    """Amplitude of the stripes, in units of the range of grey levels."""

    def __call__(self, x: Tensor, severity: int, streams: Streams) -> Tensor:
        """The image with stripes."""
        if severity == 0:
            return x
        how_fine, where_to, phase = case_draws(x, 3, streams)
        height, width = x.shape[-2:]
        frequency = LOWEST + (HIGHEST - LOWEST) * how_fine
        # Points of k-space lie at whole cycles in the field of view.
        down = torch.round(frequency * torch.sin(pi * where_to) * height)
        right = torch.round(frequency * torch.cos(pi * where_to) * width)
        return (x + at_severity(self.amplitudes, severity) * stripes(x, down, right, phase)).clamp(
            0, 1
        )


def stripes(x: Tensor, down: Tensor, right: Tensor, phase: Tensor) -> Tensor:
    """Cosine with so many cycles along each axis of the field of view, from a phase in cycles."""
    height, width = x.shape[-2:]
    rows = torch.arange(height, dtype=x.dtype, device=x.device)[:, None] / height
    columns = torch.arange(width, dtype=x.dtype, device=x.device) / width
    return torch.cos(2 * pi * (down * rows + right * columns + phase))
