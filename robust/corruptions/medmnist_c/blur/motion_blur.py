"""Motion blur along a random direction, as ImageMagick draws it (MedMNIST-C, 2406.17536).

ImageMagick weighs the pixels that lie i = 0, 1, ... steps ahead in the direction by half a Gaussian
of i, each taken at the nearest whole position; beyond the border the outermost pixels repeat.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks.streams import Streams
from robust.corruptions.contract import Family, at_severity
from robust.corruptions.draws import parameters
from robust.corruptions.medmnist_c.blur.convolution import correlate

WIDEST = 45.0
"""Largest angle to the horizontal, in degrees."""


@dataclass(frozen=True)
class MotionBlur:
    """Half a Gaussian along one direction for each case, at most 45 degrees off the horizontal."""

    definition: str
    """The data set whose severities these are."""
    levels: tuple[tuple[int, float], ...]
    """Radius and sigma at each severity, in pixels; the trace is twice the radius and one long."""
    note: str = ""
    """What a reader must know."""

    name: ClassVar[str] = "motion_blur"
    family: ClassVar[Family] = "blur"
    differentiable: ClassVar[bool] = True
    random: ClassVar[bool] = True

    def __call__(self, x: Tensor, severity: int, streams: Streams) -> Tensor:
        """The images at a severity."""
        if severity == 0:
            return x
        radius, sigma = at_severity(self.levels, severity)
        angles = WIDEST * (2 * parameters(streams, 1)[:, 0].double() - 1)
        return motion_blurred(x, radius, sigma, angles)


def motion_blurred(x: Tensor, radius: int, sigma: float, angles: Tensor) -> Tensor:
    """Images blurred at `angles` `(n,)` in degrees, clockwise, from -90 to 90."""
    reach = 2 * radius
    steps = torch.arange(reach + 1, dtype=torch.float64)
    weights = torch.exp(-(steps**2) / (2 * sigma**2))
    turn = torch.deg2rad(angles.double())[:, None]
    right = torch.ceil(steps * torch.cos(turn) - 0.5).long()
    down = torch.ceil(steps * torch.sin(turn) - 0.5).long()
    kernel = torch.zeros(len(x), 2 * reach + 1, reach + 1, dtype=torch.float64)
    cases = torch.arange(len(x))[:, None].expand_as(right)
    share = (weights / weights.sum()).expand(right.shape)
    kernel.index_put_((cases, down + reach, right), share, accumulate=True)
    # No case reaches farther up or down than the steepest; the transform is the smaller for it.
    high = math.ceil(reach * float(turn.abs().max().sin())) if len(x) else 0
    kernel = kernel[:, reach - high : reach + high + 1]
    return correlate(x, kernel, (high, 0), "replicate").clamp(0, 1)
