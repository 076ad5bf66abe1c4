"""Motion during an exposure: the mean over a straight path of constant speed."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, pi
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.streams import Streams
from robust.corruptions.contract import Family, at_severity
from robust.corruptions.scanner.draws import case_draws


@dataclass(frozen=True)
class ExposureMotion:
    """Breathing or a heartbeat while an X-ray tube is on, in a random direction.

    The path is centred, so that the image stays in place. Beyond its edge an image goes on as at
    the edge.
    """

    name: ClassVar[str] = "exposure_motion"
    family: ClassVar[Family] = "scanner"
    differentiable: ClassVar[bool] = True
    random: ClassVar[bool] = True
    definition: str = "straight path of 1.5 to 8 % of the side at constant speed"
    note: str = ""
    paths: tuple[float, ...] = (0.015, 0.025, 0.04, 0.06, 0.08)
    """Length of the path, as a fraction of the shorter side."""

    def __call__(self, x: Tensor, severity: int, streams: Streams) -> Tensor:
        """The blurred image, slice by slice."""
        if severity == 0:
            return x
        (direction,) = case_draws(x, 1, streams)
        angle = pi * direction.flatten()
        slices = x.reshape(len(x), -1, *x.shape[-2:])
        height, width = slices.shape[-2:]
        length = at_severity(self.paths, severity) * min(height, width)
        places = 2 * ceil(length) + 1
        grid = F.affine_grid(
            torch.eye(2, 3).to(x).expand(len(x), -1, -1), list(slices.shape), align_corners=False
        )
        # In grid units an axis is 2 long.
        step = torch.stack([angle.cos() * (2 / width), angle.sin() * (2 / height)], 1)
        total = torch.zeros_like(slices)
        for place in range(places):
            offset = length * ((place + 0.5) / places - 0.5)
            moved = grid + offset * step[:, None, None]
            total = total + F.grid_sample(slices, moved, padding_mode="border", align_corners=False)
        return (total / places).view(x.shape).clamp(0, 1)
