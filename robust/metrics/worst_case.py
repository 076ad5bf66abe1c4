"""Worst case over attacks: case by case the most damaging image that was found within one ball."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from robust.metrics.arrays import Array, Mask
from robust.metrics.scores import Condition
from robust.units import NORMS, TOLERANCE, distance_field


@dataclass(frozen=True)
class Ball:
    """The images within a distance of the clean one."""

    norm: str
    """One of `units.NORMS`."""
    eps: float
    """In [0, 1] pixel units, in L0 a number of pixels; infinite for no bound."""
    values: int
    """Number of values of an image (channels x height x width)."""

    @property
    def limit(self) -> float:
        """Largest distance that counts as within eps: 2e-7 is room for the rounding of float32.

        In L2 and in L1, where the rounding of many values cancels, the room is 2e-7 times the
        square root of the number of values. In L0, which is counted, it holds no further pixel.
        """
        return self.eps + 2e-7 * (1 if self.norm == "Linf" else math.sqrt(self.values))


@dataclass(frozen=True)
class CellOutcome:
    """One attack at one eps, in the norm of the ball."""

    condition: Condition
    """All cases as the attack left them."""
    eps: float
    """The eps it ran at; infinite for a minimum-norm attack without a bound."""


@dataclass(frozen=True)
class WorstCase:
    """All cases as the most damaging images within one ball left them."""

    condition: Condition
    """Its `attacked` are the cases that some attack tried within the ball; its `failed` are those
    of them that no attack could be evaluated on."""
    cell: npt.NDArray[np.int64]
    """`(n,)`: the attack whose image it is, as an index into the cells; -1 for the clean image."""


def inside_of(condition: Condition, ball: Ball) -> Mask:
    """The cases with an image within the ball `(n,)`."""
    inside: Mask = condition.evaluated & (condition.distance(ball.norm) <= ball.limit)
    return inside


def worst_case(
    clean: Condition,
    damage: Callable[[Array], Array],
    cells: Iterable[CellOutcome],
    ball: Ball,
) -> WorstCase:
    """For each case the image with the largest damage among all that were found within the ball.

    `damage` tells it `(n,)` from what is kept `(n, a)`. An image found at a smaller eps, or by a
    minimum-norm attack, lies in the ball as well. A success of a targeted goal outranks a larger
    damage that leads elsewhere. Of two equal images the first counts.
    """
    kept, lead = clean.kept.copy(), damage(clean.kept)
    n = len(kept)
    attacked, evaluated, success = (np.zeros(n, bool) for _ in range(3))
    distances = {distance_field(norm): np.full(n, np.nan) for norm in NORMS}
    origin = np.full(n, -1)
    for place, cell in enumerate(cells):
        condition = cell.condition
        inside = inside_of(condition, ball)
        # A minimum-norm attack without a bound has looked for an image at every eps.
        if cell.eps <= ball.eps + TOLERANCE or math.isinf(cell.eps):
            attacked |= condition.attacked
            evaluated |= condition.evaluated
        done = damage(condition.kept)
        first_success = condition.success & ~success
        more = (done > lead) & ~(success & ~condition.success)
        better = inside & (first_success | more)
        kept[better], lead[better] = condition.kept[better], done[better]
        for norm in NORMS:
            distances[distance_field(norm)][better] = condition.distance(norm)[better]
        origin[better] = place
        success |= inside & condition.success
    failed = attacked & ~evaluated
    return WorstCase(Condition(kept, attacked, failed, success, **distances), origin)
