"""Hand-made features with a linear head: Gabor energies on a grid, and moments of colour.

The energies are those of GIST (Oliva and Torralba 2001, doi 10.1023/A:1011139631724), the moments
those of Stricker and Orengo 1995.

No weight but the head's is learned, and every step is differentiable, so that the features that
preceded learned ones can be attacked as these are.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NAME = "gist"
"""As in `robust:gist`."""
FREQUENCIES = (0.25, 0.125, 0.0625)
"""Cycles per pixel of the filters."""
ORIENTATIONS = 6
CELLS = 4
"""Side of the grid over which energies are averaged."""
GREY = (0.299, 0.587, 0.114)
SCALE = 10.0
"""Of energies, so that they are as large as moments of colour: of pixels in [0, 1] they are about a
tenth."""
_TINY = 1e-8


def gabor_kernel(frequency: float, angle: float) -> Tensor:
    """Even and odd part `(2, side, side)` of a Gabor filter of one octave, without mean.

    `angle` in radians is that of the wave. The envelope is round, and its values add up to 1.
    """
    sigma = math.sqrt(math.log(2) / 2) * 3 / (math.pi * frequency)
    reach = math.ceil(3 * sigma)
    along = torch.arange(-reach, reach + 1, dtype=torch.float64)
    y, x = torch.meshgrid(along, along, indexing="ij")
    envelope = torch.exp(-(x**2 + y**2) / (2 * sigma**2))
    envelope = envelope / envelope.sum()
    phase = 2 * math.pi * frequency * (x * math.cos(angle) + y * math.sin(angle))
    even = envelope * phase.cos()
    even = even - envelope * even.sum()
    return torch.stack([even, envelope * phase.sin()]).float()


class GistNetwork(nn.Module):
    """Images `(n, 3, h, w)` in [0, 1] to `outputs` of a linear head on hand-made features."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self._names: list[str] = []
        for frequency in FREQUENCIES:
            kernels = [
                gabor_kernel(frequency, math.pi * k / ORIENTATIONS) for k in range(ORIENTATIONS)
            ]
            name = f"filters_{round(1 / frequency)}"
            self.register_buffer(name, torch.cat(kernels)[:, None], persistent=False)
            self._names.append(name)
        self.register_buffer("grey", torch.tensor(GREY).view(1, 3, 1, 1), persistent=False)
        width = len(FREQUENCIES) * ORIENTATIONS * CELLS**2 + 9
        self.head = nn.Linear(width, outputs)

    def features(self, x: Tensor) -> Tensor:
        """Energies by frequency, orientation and cell, then moments by colour: `(n, width)`."""
        grey = (x * self.get_buffer("grey")).sum(1, keepdim=True)
        found = [self._energies(grey, self.get_buffer(name)) for name in self._names]
        return torch.cat([*found, colour_moments(x)], 1)

    def forward(self, x: Tensor) -> Tensor:
        """The head's outputs `(n, outputs)`."""
        out: Tensor = self.head(self.features(x))
        return out

    def _energies(self, grey: Tensor, filters: Tensor) -> Tensor:
        reach = filters.shape[-1] // 2
        padded = F.pad(grey, (reach,) * 4, mode="replicate")
        parts = F.conv2d(padded, filters)
        even, odd = parts[:, ::2], parts[:, 1::2]
        amplitude = (even.square() + odd.square() + _TINY).sqrt()
        return SCALE * F.adaptive_avg_pool2d(amplitude, CELLS).flatten(1)


def colour_moments(x: Tensor) -> Tensor:
    """Mean, standard deviation and cube root of the third moment of each channel: `(n, 3 c)`.

    The root is smoothed where the moment is near 0, so that its gradient stays finite.
    """
    values = x.flatten(2)
    mean = values.mean(2, keepdim=True)
    centred = values - mean
    spread = (centred.square().mean(2) + _TINY).sqrt()
    third = centred.pow(3).mean(2)
    root = third * (third.square() + _TINY).pow(-1 / 3)
    return torch.cat([mean[:, :, 0], spread, root], 1)
