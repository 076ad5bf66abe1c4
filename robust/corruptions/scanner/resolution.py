"""Lower resolution: larger pixels average what they cover (partial volume), then interpolation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from attacks.streams import Streams
from robust.corruptions.contract import Family, at_severity


@dataclass(frozen=True)
class Resolution:
    """Pixels grow by a factor along every axis, slices of a volume grow thicker too.

    Each takes the mean of what it covers; the display interpolates linearly.
    """

    name: ClassVar[str] = "resolution"
    family: ClassVar[Family] = "scanner"
    differentiable: ClassVar[bool] = True
    random: ClassVar[bool] = False
    definition: str = "pixels larger by a factor 1.5 to 4, means and linear interpolation"
    note: str = ""
    factors: tuple[float, ...] = (1.5, 2.0, 2.5, 3.0, 4.0)
    """Factors of the pixel's side."""

    def __call__(self, x: Tensor, severity: int, streams: Streams) -> Tensor:
        """The image at its old size."""
        if severity == 0:
            return x
        space = tuple(x.shape[2:])
        small = [max(1, round(side / at_severity(self.factors, severity))) for side in space]
        mode = "trilinear" if len(space) == 3 else "bilinear"
        covered = F.interpolate(x, small, mode="area")
        shown: Tensor = F.interpolate(covered, space, mode=mode, align_corners=False)
        return shown.clamp(0, 1)
