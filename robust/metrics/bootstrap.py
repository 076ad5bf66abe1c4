"""Cluster bootstrap of rates, medians and AUC (Davison and Hinkley 1997), resampled by group.

Percentile intervals; exact binomial bounds (Clopper and Pearson 1934) where the estimate is 0 or 1.
Written out here since scipy.stats.bootstrap resamples no clusters and shares no resamples.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import stats as scipy_stats

from robust.metrics.arrays import Array, Mask
from robust.records import Estimate

LEVEL = 0.95
"""Confidence level of every interval."""

MAX_UNITS = 20_000
"""Most units that are resampled. More groups than this are merged into that many units, drawn as
one: memory and time stay bounded, and the widths of intervals change by less than a hundredth."""


def clopper_pearson(hits: float, trials: int) -> tuple[float, float]:
    """Exact 95 % interval of a binomial proportion (Clopper and Pearson 1934).

    Hits may be fractional. The ends are 0 and 1 where there is no hit, or nothing else.
    """
    tail = (1 - LEVEL) / 2
    low = 0.0 if hits <= 0 else float(scipy_stats.beta.ppf(tail, hits, trials - hits + 1))
    high = 1.0 if hits >= trials else float(scipy_stats.beta.ppf(1 - tail, hits + 1, trials - hits))
    return low, high


def groups_needed(bound: float) -> int:
    """Fewest groups with which the lower bound reaches `bound` if all are correct."""
    least = max(1, math.floor(math.log(0.025) / math.log(bound)))
    while clopper_pearson(least, least)[0] < bound:
        least += 1
    return least


def auc(scores: Array, positive: Mask, weights: Array | None = None) -> Array:
    """Area under the ROC curve, ties counted half: `(draws,)` for weights `(draws, n)`.

    Higher scores should go with `positive`. NaN where one side is empty.
    """
    if weights is None:
        weights = np.ones((1, len(scores)))
    order = np.argsort(scores, kind="stable")
    ordered, is_positive = scores[order], positive[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    weights = weights[:, order]
    ups = np.add.reduceat(weights * is_positive, starts, axis=1)
    downs = np.add.reduceat(weights * ~is_positive, starts, axis=1)
    below = np.cumsum(downs, axis=1) - downs
    pairs = ups.sum(1) * downs.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        area: Array = (ups * (below + downs / 2)).sum(1) / pairs
    return area


class Bootstrap:
    """Resamples groups with replacement; all numbers of a report share the same resamples.

    `groups` is `(n,)`, any hashable per case. A resample gives each group a weight, how often it
    was drawn, so that a rate is a ratio of two weighted sums. Intervals are percentile intervals
    (Davison and Hinkley 1997, "Bootstrap Methods and their Application", section 5.3).
    """

    def __init__(self, groups: Sequence[object], draws: int = 1000, seed: int = 0) -> None:
        _, codes = np.unique(np.asarray([str(g) for g in groups]), return_inverse=True)
        self.codes: npt.NDArray[np.int64] = codes.astype(np.int64)
        self.count = int(codes.max()) + 1 if len(codes) else 0
        rng = np.random.Generator(np.random.PCG64(seed))
        self._unit: npt.NDArray[np.int64] = np.arange(self.count)
        if self.count > MAX_UNITS:
            self._unit = rng.permutation(self.count) % MAX_UNITS
        units = min(self.count, MAX_UNITS)
        self._weights = np.zeros((draws, units), dtype=np.uint8)
        for row in self._weights:
            drawn = np.bincount(rng.integers(0, units, units), minlength=units)
            row[:] = np.minimum(drawn, 255)

    def at(self, rows: npt.NDArray[np.int64]) -> Bootstrap:
        """The same resamples for these cases, in this order; a case may occur twice."""
        other = copy.copy(self)
        other.codes = self.codes[rows]
        return other

    def rate(self, values: npt.ArrayLike, mask: npt.ArrayLike | None = None) -> Estimate | None:
        """Mean of `values (n,)` over the cases in `mask`; None where there is no case."""
        where = np.ones(len(self.codes), bool) if mask is None else np.asarray(mask, bool)
        return self.rates([(values, where)])[0]

    def rates(
        self, columns: Sequence[tuple[npt.ArrayLike, npt.ArrayLike]]
    ) -> list[Estimate | None]:
        """Many rates at once, each `(values, mask)`: one product of matrices for all of them."""
        sums = np.empty((self.count, 2 * len(columns)), dtype=np.float32)
        masks = []
        for i, (values, where) in enumerate(columns):
            mask = np.asarray(where, bool)
            masks.append(mask)
            inside = np.where(mask, np.asarray(values, np.float64), 0.0)
            sums[:, 2 * i] = np.bincount(self.codes, inside, self.count)
            sums[:, 2 * i + 1] = np.bincount(self.codes, mask, self.count)
        drawn = self.draw(sums)
        estimates: list[Estimate | None] = []
        for i, mask in enumerate(masks):
            cases = int(mask.sum())
            if cases == 0:
                estimates.append(None)
                continue
            hits, size = float(sums[:, 2 * i].sum(dtype=np.float64)), cases
            groups = int((sums[:, 2 * i + 1] > 0).sum())
            with np.errstate(invalid="ignore", divide="ignore"):
                ratios = drawn[:, 2 * i].astype(np.float64) / drawn[:, 2 * i + 1]
            estimates.append(self._with_interval(hits / size, ratios, cases, groups))
        return estimates

    def draw(self, sums: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Weighted sum over groups for every resample: `(groups, c)` to `(draws, c)`."""
        units = self._weights.shape[1]
        if units < self.count:
            merged = [np.bincount(self._unit, column, units) for column in sums.T]
            sums = np.stack(merged, 1).astype(np.float32)
        return np.concatenate([block @ sums for block in self._blocks(sums.shape[1])])

    def auc(self, scores: npt.ArrayLike, positive: npt.ArrayLike, mask: Mask) -> Estimate | None:
        """AUC over the cases in `mask`; None unless both sides occur."""
        s, p = np.asarray(scores, np.float64)[mask], np.asarray(positive, bool)[mask]
        if not p.any() or p.all():
            return None
        codes = self.codes[mask]
        units = self._unit[codes]
        value = float(auc(s, p)[0])
        draws = np.concatenate(
            [auc(s, p, b[:, units].astype(np.float64)) for b in self._blocks(len(s))]
        )
        # At 0 or 1 the pairs that could disagree are as many as the rarer side has groups.
        rarer = min(len(np.unique(codes[p])), len(np.unique(codes[~p])))
        estimate = self._with_interval(value, draws, len(s), rarer)
        return replace(estimate, cases=len(s), groups=len(np.unique(codes)))

    def median(self, values: npt.ArrayLike, mask: Mask) -> Estimate | None:
        """Median over the cases in `mask`; the interval is the spread of resampled medians."""
        inside = np.asarray(values, np.float64)[mask]
        if len(inside) == 0:
            return None
        order = np.argsort(inside, kind="stable")
        ordered, codes = inside[order], self.codes[mask][order]
        units = self._unit[codes]
        medians = []
        for block in self._blocks(len(inside)):
            reached = np.cumsum(block[:, units], axis=1)
            total = reached[:, -1:]
            at = (reached * 2 >= total).argmax(1)
            medians.append(ordered[at][total[:, 0] > 0])
        low, high = np.quantile(np.concatenate(medians), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        value = float(np.median(inside))
        groups = len(np.unique(codes))
        return Estimate(value, min(float(low), value), max(float(high), value), len(inside), groups)

    def _blocks(self, width: int) -> Iterator[npt.NDArray[np.float32]]:
        """The weights `(draws, units)` a block of draws at a time, to bound memory."""
        step = max(1, int(2e6 // max(width, self._weights.shape[1], 1)))
        for start in range(0, len(self._weights), step):
            yield self._weights[start : start + step].astype(np.float32)

    @staticmethod
    def _with_interval(value: float, draws: Array, cases: int, groups: int) -> Estimate:
        draws = draws[np.isfinite(draws)]
        low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        if value in (0.0, 1.0) or high - low < 1e-9:
            # All resamples agree, so the bootstrap's interval would be a point.
            low, high = clopper_pearson(value * groups, groups)
        return Estimate(value, min(float(low), value), max(float(high), value), cases, groups)
