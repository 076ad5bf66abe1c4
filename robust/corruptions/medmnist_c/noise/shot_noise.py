"""Shot noise: Poisson counts of a number of photons (MedMNIST-C, 2406.17536)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks.streams import Streams
from robust.corruptions.channels import through_rgb
from robust.corruptions.contract import Family, at_severity


@dataclass(frozen=True)
class ShotNoise:
    """Poisson counts whose mean is the brightness times the photons of white."""

    definition: str
    """The data set whose severities these are."""
    levels: tuple[int, ...]
    """Photons of white at each severity."""
    note: str = ""
    """What a reader must know."""

    name: ClassVar[str] = "shot_noise"
    family: ClassVar[Family] = "noise"
    differentiable: ClassVar[bool] = False
    random: ClassVar[bool] = True

    def __call__(self, x: Tensor, severity: int, streams: Streams) -> Tensor:
        """The images at a severity."""
        if severity == 0:
            return x
        photons = at_severity(self.levels, severity)
        return through_rgb(
            x.detach(), lambda rgb: (_poisson(rgb * photons, streams) / photons).clamp(0, 1)
        )


def _poisson(mean: Tensor, streams: Streams) -> Tensor:
    """Counts, drawn on the CPU as the streams do."""
    means = mean.float().cpu()
    drawn = torch.empty_like(means)
    for row in range(len(means)):
        generator = torch.Generator().manual_seed(streams[[row]].seed())
        drawn[row] = torch.poisson(means[row], generator)
    return drawn.to(mean)
