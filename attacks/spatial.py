"""Spatial attack, rotation and shift by the worst of a grid: Engstrom et al. 2019 (1712.02779)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.contract import require_positive
from attacks.streams import Streams


@dataclass(frozen=True)
class SpatialGrid:
    """Rotations and shifts of an image, each within its range.

    They have no norm and no eps, and follow no gradient: every move of the grid is tried. It is no
    `Attack`, whose images lie within a ball. Images are resampled bilinearly, and what comes in
    from outside is black, as in the paper.
    """

    rotation: float = 30.0
    """Largest rotation to either side, in degrees."""
    shift: float = 0.1
    """Largest shift along each axis, as a share of that side."""
    angles: int = 31
    """Rotations of the grid, evenly from side to side; 1: none."""
    shifts: int = 5
    """Shifts of the grid along each axis; 1: none."""

    def __post_init__(self) -> None:
        require_positive(self, "angles", "shifts")
        if not 0 <= self.rotation <= 180:
            raise ValueError(f"SpatialGrid: rotation must be 0 to 180 degrees, not {self.rotation}")
        if not 0 <= self.shift < 1:
            raise ValueError(f"SpatialGrid: shift must be 0 or more and below 1, not {self.shift}")

    @property
    def count(self) -> int:
        """Moves of the grid: forward passes for a case that resists all of them."""
        return self.angles * self.shifts**2

    def moves(self) -> Iterator[tuple[float, float, float]]:
        """Degrees and shares of height and width, the smallest moves first."""
        every = itertools.product(
            _steps(self.rotation, self.angles),
            _steps(self.shift, self.shifts),
            _steps(self.shift, self.shifts),
        )
        return iter(sorted(every, key=lambda move: (abs(move[0]), abs(move[1]) + abs(move[2]))))

    def random(self, x: Tensor, streams: Streams) -> Tensor:
        """A move of each image, uniform over the whole range: `(n, 3)`."""
        drawn = 2 * streams.uniform(x.new_empty(len(x), 3)) - 1
        return drawn * drawn.new_tensor([self.rotation, self.shift, self.shift])


def _steps(most: float, count: int) -> list[float]:
    if count == 1:
        return [0.0]
    return [most * (2 * i / (count - 1) - 1) for i in range(count)]


def turned_and_shifted(x: Tensor, moves: Tensor) -> Tensor:
    """Images `(n, c, h, w)`, each turned about its centre and then shifted.

    `moves (n, 3)`: degrees counterclockwise, and shares of height (down) and of width (right).
    Turned by no angle and not shifted, an image stays the same to the bit. ValueError for volumes.
    """
    if x.ndim != 4:
        raise ValueError("rotation and shift are for images, not for volumes")
    moves = moves.to(x)
    angle = moves[:, 0] * (math.pi / 180)
    height, width = x.shape[2:]
    cos, sin = angle.cos(), angle.sin()
    # Where each pixel comes from, in coordinates from -1 to 1 along each side: a shift by a share
    # of a side is twice as much there.
    down, right = 2 * moves[:, 1], 2 * moves[:, 2]
    across, along = -sin * (height / width), sin * (width / height)
    rows = [
        torch.stack([cos, across, -cos * right - across * down], 1),
        torch.stack([along, cos, -along * right - cos * down], 1),
    ]
    places = F.affine_grid(torch.stack(rows, 1), list(x.shape), align_corners=False)
    moved = F.grid_sample(x, places, mode="bilinear", padding_mode="zeros", align_corners=False)
    still = (moves == 0).all(1).view(-1, 1, 1, 1)
    return torch.where(still, x, moved).clamp(0, 1)
