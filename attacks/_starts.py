"""Starting points: random in the ball, and far from the image where gradients near it vanish."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.contract import Model
from attacks.losses import margin
from attacks.streams import Streams
from attacks.threat import ThreatModel, per_case

GRIDS = (1, 2, 4, 8, 0)
"""Cells along each side of the random images, in turn; 0: as many as there are pixels."""
DRAWS = 15
"""Random images per case."""


@torch.no_grad()
def far_start(
    model: Model, x: Tensor, y: Tensor, target: Tensor | None, streams: Streams
) -> Tensor:
    """The most damaging of `DRAWS` random images, coarse and fine, per case: `(n, c, h, w)`.

    Half of their pixels are black or white, as far from the image as the box allows.
    """
    best, best_margin = x, x.new_full((len(x),), -torch.inf)
    for draw in range(DRAWS):
        noise = streams.uniform(x.new_empty(grid_shape(x, GRIDS[draw % len(GRIDS)])))
        image = F.interpolate((2 * noise - 0.5).clamp(0, 1), x.shape[2:], mode="nearest")
        value = margin(model(image), y, target).to(best_margin)
        better = value > best_margin
        best = torch.where(per_case(better, x), image, best)
        best_margin = torch.where(better, value, best_margin)
    return best


def grid_shape(x: Tensor, cells: int) -> list[int]:
    """The shape of a grid with so many cells along each side of the images `x`; 0: one a pixel."""
    return [*x.shape[:2], *(min(cells, side) if cells else side for side in x.shape[2:])]


def random_start(x: Tensor, threat: ThreatModel, streams: Streams) -> Tensor:
    """Uniform in the L-inf ball; in L2 uniform in direction and, up to eps / 2, in distance.

    In many dimensions a uniform draw from an L2 ball lies near its surface, at right angles to the
    direction that the attack needs, and steps replace that part slowly: 20 steps of eps / 10 broke
    66 of 150 chest X-rays from such starts, 72 from these, 74 from the image.
    """
    drawn = threat.random(x, streams)
    if threat.norm == "Linf":
        return drawn
    return x + per_case(streams.uniform(x.new_empty(len(x))) / 2, x) * (drawn - x)
