"""Hair over a skin lesion: dark curved strokes, the artefact that DullRazor was made to remove.

Lee et al. 1997, DullRazor: a software approach to hair removal from images (Comput Biol Med 27).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import ClassVar

import torch
from torch import Tensor

from attacks.streams import Streams
from robust.corruptions.contract import Family, at_severity
from robust.corruptions.draws import parameters

DRAWS = 7
"""Random numbers of a hair: centre (2), angle, length, curvature, thickness, shade."""
DARK_BROWN = (0.16, 0.10, 0.07)


@dataclass(frozen=True)
class Hair:
    """Parabolas of random place, length, curvature, thickness and shade, with soft edges.

    A higher severity adds hairs to those of the lower one.
    """

    name: ClassVar[str] = "hair"
    family: ClassVar[Family] = "scanner"
    differentiable: ClassVar[bool] = True
    random: ClassVar[bool] = True
    definition: str = "2 to 24 dark strokes of 0.6 to 1.2 % of the side in width"
    note: str = ""
    counts: tuple[int, ...] = (2, 5, 9, 15, 24)
    """Numbers of hairs."""

    def __call__(self, x: Tensor, severity: int, streams: Streams) -> Tensor:
        """The image under the hair."""
        if severity == 0:
            return x
        drawn = parameters(streams, max(self.counts) * DRAWS).to(x).view(len(x), -1, DRAWS)
        colour = x.new_tensor(DARK_BROWN)
        colour = colour if x.shape[1] == 3 else colour.mean()
        shape = (1, -1, *[1] * (x.ndim - 2))
        for one in drawn[:, : at_severity(self.counts, severity)].unbind(1):
            cover, shade = _stroke(one, x)
            x = x + cover * (shade * colour.view(shape) - x)
        return x


def _stroke(draws: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """How much of each pixel a hair covers, `(n, 1, h, w)` in [0, 1], and its shade `(n, 1, 1, 1)`.

    Along the hair u, across it v: the parabola v = curvature u^2, whose distance is the difference
    in v over the length of the gradient.
    """
    down, right, angle, length, curve, thick, shade = draws[:, :, None, None, None].unbind(1)
    height, width = x.shape[-2:]
    side = min(height, width)
    rows = torch.arange(height, dtype=x.dtype, device=x.device)[:, None] / side
    columns = torch.arange(width, dtype=x.dtype, device=x.device) / side
    rows, columns = rows - down * height / side, columns - right * width / side
    cos, sin = torch.cos(pi * angle), torch.sin(pi * angle)
    u, v = columns * cos + rows * sin, rows * cos - columns * sin
    curvature = 3 * (curve - 0.5)
    distance = (v - curvature * u**2).abs() / (1 + (2 * curvature * u) ** 2).sqrt()
    half_width = 0.003 * (1 + thick)
    # Edges are soft over a pixel; a hair thinner than a pixel covers a part of it.
    edge = 1 / side
    across = ((half_width - distance) / edge + 0.5).clamp(0, 1) * (2 * half_width / edge).clamp_max(
        1
    )
    along = ((0.15 + 0.35 * length - u.abs()) / edge).clamp(0, 1)
    cover = across * along
    space = (len(x), 1, *[1] * (x.ndim - 4), height, width)
    return cover.view(space), (0.6 + 0.8 * shade).view(-1, *[1] * (x.ndim - 1))
