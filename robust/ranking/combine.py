"""Combinations of criteria: a sum of ranks, and a second criterion within a shortlist (O-MedAL)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from robust.metrics.arrays import Places
from robust.ranking.contract import Criterion, LabelOrder, Need, Pool, by_value

SHORTLIST = 0.1
"""Share of the images that the first criterion of two stages passes on."""


@dataclass(frozen=True)
class RankSum:
    """Each image by the sum of its ranks in several criteria (Borda 1781), the lowest first.

    Ranks have no unit, so that criteria of any unit can be joined. Each counts alike.
    """

    criteria: tuple[Criterion, ...]

    @property
    def name(self) -> str:
        """Their names, with commas."""
        return ",".join(one.name for one in self.criteria)

    @property
    def unit(self) -> str:
        """Of the sum."""
        return "sum of ranks"

    @property
    def needs(self) -> frozenset[Need]:
        """Those of all."""
        return frozenset[Need]().union(*(one.needs for one in self.criteria))

    def __call__(self, pool: Pool, count: int) -> LabelOrder:
        """Smallest sum first."""
        total = np.zeros(len(pool))
        for one in self.criteria:
            # All of them: a rank beyond `count` adds to the sum as well.
            total[one(pool, len(pool)).order] += np.arange(1, len(pool) + 1)
        return by_value(pool, total, highest_first=False)


@dataclass(frozen=True)
class TwoStages:
    """The images that one criterion puts first, ordered by another; the others follow as they are.

    With entropy and mean distance it is the criterion of O-MedAL, Smailagic et al. 2020 (arXiv
    1908.10508): of the images of the highest entropy those with the largest average feature
    distance to the labelled ones. Values are those of the second criterion.
    """

    first: Criterion
    second: Criterion
    share: float = SHORTLIST
    """Of the images that pass the first stage, above 0 to 1."""
    least: int = 0
    """Images that pass it at least, where there are so many: as many as are to be labelled."""

    @property
    def name(self) -> str:
        """`entropy+mean-distance`."""
        return f"{self.first.name}+{self.second.name}"

    @property
    def unit(self) -> str:
        """That of the second criterion."""
        return self.second.unit

    @property
    def needs(self) -> frozenset[Need]:
        """Those of both."""
        return self.first.needs | self.second.needs

    def length(self, pool: Pool) -> int:
        """How many images pass the first stage."""
        return min(len(pool), max(self.least, math.ceil(self.share * len(pool) - 1e-9)))

    def shortlist(self, pool: Pool) -> Places:
        """Rows of the images that pass; needs only what the first criterion needs."""
        wanted = self.length(pool)
        return self.first(pool, wanted).order[:wanted]

    def __call__(self, pool: Pool, count: int) -> LabelOrder:
        """The shortlist in the order of the second criterion, then the others."""
        wanted = self.length(pool)
        rows = self.first(pool, max(count, wanted)).order
        shortlist, others = rows[:wanted], rows[wanted:]
        inner = self.second(pool.take(shortlist), min(count, wanted))
        values = np.full(len(pool), np.nan)
        values[shortlist] = inner.values
        return LabelOrder(values, np.concatenate([shortlist[inner.order], others]))


def rows_to_search(criterion: Criterion, pool: Pool) -> Places:
    """Rows whose adversarial distance a criterion reads; of a shortlist's criterion only those."""
    if "distances" not in criterion.needs:
        return np.zeros(0, np.int64)
    if isinstance(criterion, RankSum):
        parts = [rows_to_search(one, pool) for one in criterion.criteria]
        return np.unique(np.concatenate(parts))
    if isinstance(criterion, TwoStages) and "distances" not in criterion.first.needs:
        return criterion.shortlist(pool)
    return np.arange(len(pool))
