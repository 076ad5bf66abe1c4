"""Worst case over attacks: case by case the most damaging image that was found within one ball."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from robust.metrics.arrays import Array, Mask
from robust.metrics.scores import Condition, Ranking, margins
from robust.units import TOLERANCE


@dataclass(frozen=True)
class Ball:
    """The images within a distance of the clean one."""

    norm: str
    """`Linf` or `L2`."""
    eps: float
    """In [0, 1] pixel units; infinite for no bound."""
    values: int
    """Number of values of an image (channels x height x width)."""

    @property
    def limit(self) -> float:
        """Largest distance that counts as within eps: 2e-7 is room for the rounding of float32.

        In L2 the room is 2e-7 times the square root of the number of values.
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


def pushed_scores(
    clean: Condition, ranking: Ranking, cells: Iterable[CellOutcome], ball: Ball
) -> Array:
    """The scores `(n, s)` that an attacker on the AUC reaches with the images within the ball.

    Of every attacked case the image counts that moves its score furthest to the wrong side, whether
    or not it reached the goal of the attack that made it. Others keep their clean score.
    """
    scores = ranking.of(clean.kept)
    for cell in cells:
        scores = ranking.pushed(scores, cell.condition.kept, _inside(cell.condition, ball))
    return scores


def _inside(condition: Condition, ball: Ball) -> Mask:
    """The cases with an image within the ball `(n,)`."""
    moved = condition.linf if ball.norm == "Linf" else condition.l2
    inside: Mask = condition.evaluated & (moved <= ball.limit)
    return inside


def worst_case(
    clean: Condition,
    labels: npt.NDArray[np.int64],
    cells: Iterable[CellOutcome],
    ball: Ball,
) -> WorstCase:
    """For each case the image with the largest margin among all that were found within the ball.

    An image found at a smaller eps, or by a minimum-norm attack, lies in the ball as well. A
    success of a targeted goal outranks a larger margin that leads to another class. Of two equal
    images the first counts.
    """
    n = len(labels)
    logits, lead = clean.kept.copy(), margins(clean.kept, labels)
    attacked, evaluated, success = (np.zeros(n, bool) for _ in range(3))
    linf, l2 = np.full(n, np.nan), np.full(n, np.nan)
    origin = np.full(n, -1)
    for place, cell in enumerate(cells):
        condition = cell.condition
        inside = _inside(condition, ball)
        # A minimum-norm attack without a bound has looked for an image at every eps.
        if cell.eps <= ball.eps + TOLERANCE or math.isinf(cell.eps):
            attacked |= condition.attacked
            evaluated |= condition.evaluated
        margin = margins(condition.kept, labels)
        first_success = condition.success & ~success
        larger_margin = (margin > lead) & ~(success & ~condition.success)
        better = inside & (first_success | larger_margin)
        logits[better], lead[better] = condition.kept[better], margin[better]
        linf[better], l2[better] = condition.linf[better], condition.l2[better]
        origin[better] = place
        success |= inside & condition.success
    failed = attacked & ~evaluated
    return WorstCase(Condition(logits, attacked, failed, success, linf, l2), origin)
