"""Rates, means, medians and AUC with 95 % intervals by group: jackknife, effective sample size."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from robust.metrics.arrays import Array, Mask
from robust.metrics.groups import group_codes
from robust.metrics.intervals import (
    EVEN_SIZES,
    Precision,
    equal_groups,
    jackknife_variance,
    share_interval,
)
from robust.metrics.mean_intervals import mean_interval
from robust.records import Estimate

RATE_DOUBT, AUC_DOUBT = 2.0, 0.3
"""How many disagreeing groups weigh as much as the assumption that images of a group are alike."""

AUC_INNER = 0.015
"""As `inner` of `share_interval`: an AUC varies more the nearer it is to 0.5, so that with even
tails the truth would lie beyond the inner end more often than beyond the outer one."""

FEWEST = 5
"""Groups below which a rate, mean or median gets no interval: with fewer, none holds its level."""
FEWEST_EACH = 10
"""Groups with a positive, and with a negative, below which an AUC gets no interval."""


def auc(scores: npt.ArrayLike, positive: npt.ArrayLike) -> float:
    """Area under the ROC curve, ties counted half; NaN where one side is empty.

    Higher scores should go with `positive`; an infinite one ranks last.
    """
    ranks, up = rankdata(np.asarray(scores, np.float64)), np.asarray(positive, bool)
    pairs = int(up.sum()) * int((~up).sum())
    return (float(ranks[up].sum()) - up.sum() * (up.sum() + 1) / 2) / pairs if pairs else math.nan


class ByGroup:
    """Estimates for cases in groups (patients, lesions); `groups` is `(n,)`, one for each case."""

    def __init__(self, groups: Sequence[object]) -> None:
        self.codes = group_codes([str(group) for group in groups])
        """`(n,)`: number of each case's group."""
        self.count = int(self.codes.max()) + 1 if len(self.codes) else 0
        """Number of groups."""

    def at(self, rows: npt.NDArray[np.int64]) -> ByGroup:
        """The same groups for these cases, in this order; a case may occur twice."""
        other = copy.copy(self)
        other.codes = self.codes[rows]
        return other

    def rate(self, values: npt.ArrayLike, mask: npt.ArrayLike | None = None) -> Estimate | None:
        """Mean of `values (n,)`, each 0 or 1, over the cases in `mask`; None without a case."""
        where = np.ones(len(self.codes), bool) if mask is None else np.asarray(mask, bool)
        return self.rates([(values, where)])[0]

    def rates(
        self, columns: Sequence[tuple[npt.ArrayLike, npt.ArrayLike]]
    ) -> list[Estimate | None]:
        """Many rates, each `(values, mask)`."""
        return [self._rate(np.asarray(v, np.float64), np.asarray(m, bool)) for v, m in columns]

    def mean(self, values: npt.ArrayLike, mask: Mask, most: float = 1.0) -> Estimate | None:
        """Mean of `values (n,)`, each from 0 to `most`, over the cases in `mask`; None without."""
        if not mask.any():
            return None
        sums, sizes = self._sums(np.asarray(values, np.float64)[mask], self.codes[mask])
        value, cases, groups = float(sums.sum() / sizes.sum()), int(mask.sum()), len(sizes)
        if groups < FEWEST:
            return Estimate(value, None, None, cases, groups, FEWEST)
        low, high = mean_interval(sums, sizes, most)
        return Estimate(value, min(low, value), max(high, value), cases, groups)

    def auc(self, scores: npt.ArrayLike, positive: npt.ArrayLike, mask: Mask) -> Estimate | None:
        """AUC over the cases in `mask`; None unless both sides occur."""
        return self.mean_auc([(scores, positive)], mask)

    def mean_auc(
        self, columns: Sequence[tuple[npt.ArrayLike, npt.ArrayLike]], mask: Mask
    ) -> Estimate | None:
        """Mean of AUCs, each `(scores, positive)`; those without both sides are left out."""
        codes = self.codes[mask]
        cases, groups = len(codes), len(np.unique(codes))
        every = []
        for scores, positive in columns:
            p = np.asarray(positive, bool)[mask]
            if p.any() and not p.all():
                every.append(_Pairs.of(np.asarray(scores, np.float64)[mask], p, codes))
        if not every:
            return None
        area = float(np.mean([pairs.area for pairs in every]))
        if (rarest := min(pairs.rarer for pairs in every)) < FEWEST_EACH:
            needed = math.ceil(groups * FEWEST_EACH / rarest)
            return Estimate(area, None, None, cases, groups, needed)
        low, high = share_interval(area, _mean_precision(every), AUC_INNER)
        return Estimate(area, low, high, cases, groups)

    def median(self, values: npt.ArrayLike, mask: Mask) -> Estimate | None:
        """Median over the cases in `mask`, between two order statistics (Woodruff 1952).

        "Confidence intervals for medians and other position measures": the interval of the share
        of values up to the median, read as places among the values.
        """
        inside = np.asarray(values, np.float64)[mask]
        if len(inside) == 0:
            return None
        value, codes = float(np.median(inside)), self.codes[mask]
        cases, groups = len(inside), len(np.unique(codes))
        if groups < FEWEST:
            return Estimate(value, None, None, cases, groups, FEWEST)
        # Values in the middle count half, so that ties move neither end.
        below = (inside < value) + 0.5 * (inside == value)
        low, high = share_interval(0.5, rate_precision(*self._sums(below, codes)))
        ordered = np.sort(inside)
        first = max(math.ceil(low * cases) - 1, 0)
        last = min(math.floor(high * cases), cases - 1)
        ends = float(ordered[first]), float(ordered[last])
        return Estimate(value, min(ends[0], value), max(ends[1], value), cases, groups)

    def _rate(self, values: Array, mask: Mask) -> Estimate | None:
        if not mask.any():
            return None
        hits, sizes = self._sums(values[mask], self.codes[mask])
        share, cases, groups = float(hits.sum() / sizes.sum()), int(mask.sum()), len(sizes)
        if groups < FEWEST:
            return Estimate(share, None, None, cases, groups, FEWEST)
        low, high = share_interval(share, rate_precision(hits, sizes))
        return Estimate(share, low, high, cases, groups)

    def _sums(self, values: Array, codes: npt.NDArray[np.int64]) -> tuple[Array, Array]:
        """Sum of the values and number of cases by group, of the groups that have a case."""
        sizes = np.bincount(codes, minlength=self.count).astype(np.float64)
        hits: Array = np.bincount(codes, values, self.count).astype(np.float64)
        return hits[sizes > 0], sizes[sizes > 0]


def rate_precision(hits: Array, sizes: Array, doubt: float = RATE_DOUBT) -> Precision:
    """Precision of the rate `hits.sum() / sizes.sum()`, from both by group; no size is 0.

    `doubt` is how many disagreeing groups weigh as much as the assumption that images are alike.
    """
    cases = float(sizes.sum())
    with np.errstate(invalid="ignore", divide="ignore"):
        without = (hits.sum() - hits) / (cases - sizes)
    equal = equal_groups(sizes)
    disagreeing = min(equal_groups(hits), equal_groups(sizes - hits))
    groups = min(float(len(sizes)), EVEN_SIZES * equal)
    return Precision(
        variance=jackknife_variance(without) if len(sizes) > 1 else 0.0,
        groups=groups,
        degrees=min(float(len(sizes)), equal) - 1,
        most=cases,
        least=equal,
        doubt=doubt / (doubt + disagreeing),
    )


class _Pairs:
    """Pairs of a positive and a negative case that are ranked right, by group (Obuchowski 1997)."""

    def __init__(self, ranked: tuple[Array, Array, Array], sizes: tuple[Array, Array]) -> None:
        """`ranked` are pairs ranked right whose positive, negative, or both lie in each group."""
        self._positive, self._negative, both = ranked
        self._sizes = sizes
        positives, negatives = (float(size.sum()) for size in sizes)
        right = float(self._positive.sum())
        self.area = right / (positives * negatives)
        with np.errstate(invalid="ignore", divide="ignore"):
            without = (right - self._positive - self._negative + both) / (
                (positives - sizes[0]) * (negatives - sizes[1])
            )
        self.without: Array = without
        """The area without each group in turn."""
        self.rarer = min(int((size > 0).sum()) for size in sizes)
        """Groups on the side that has fewer."""

    @classmethod
    def of(cls, scores: Array, positive: Mask, codes: npt.NDArray[np.int64]) -> _Pairs:
        """Count them; ties count half."""
        _, codes = np.unique(codes, return_inverse=True)
        groups = int(codes.max()) + 1
        ranks = rankdata(scores, "dense").astype(np.int64)
        up, down = ranks[positive], ranks[~positive]
        of_up, of_down = codes[positive], codes[~positive]
        below = _places(np.sort(down), up)
        above = len(up) - _places(np.sort(up), down)
        # Ranks of different groups in disjoint ranges count the pairs within a group.
        span = int(ranks.max()) + 1
        inside = np.sort(of_down * span + down)
        within = _places(inside, of_up * span + up) - np.searchsorted(inside, of_up * span)
        sums = tuple(
            np.bincount(of, pairs, groups).astype(np.float64)
            for of, pairs in ((of_up, below), (of_down, above), (of_up, within))
        )
        sizes = [np.bincount(of, minlength=groups).astype(np.float64) for of in (of_up, of_down)]
        return cls((sums[0], sums[1], sums[2]), (sizes[0], sizes[1]))

    def precision(self) -> Precision:
        """Precision of the area."""
        ups, downs = (equal_groups(size) for size in self._sizes)
        positives, negatives = (float(size.sum()) for size in self._sizes)
        right = self._positive, self._negative
        wrong = negatives * self._sizes[0] - right[0], positives * self._sizes[1] - right[1]
        disagreeing = min(map(equal_groups, (*right, *wrong)))
        return Precision(
            variance=jackknife_variance(self.without),
            groups=min(float(self.rarer), EVEN_SIZES * min(ups, downs)),
            degrees=2 / (1 / ups + 1 / downs) - 1,
            most=positives * negatives,
            least=_auc_size(self.area, ups, downs),
            doubt=AUC_DOUBT / (AUC_DOUBT + disagreeing),
        )


def _mean_precision(every: Sequence[_Pairs]) -> Precision:
    """Precision of the mean of some areas on the same groups, as poor as that of the poorest."""
    known = [pairs.precision() for pairs in every]
    return Precision(
        variance=jackknife_variance(np.mean([pairs.without for pairs in every], axis=0)),
        groups=min(one.groups for one in known),
        degrees=min(one.degrees for one in known),
        most=max(one.most for one in known),
        least=min(one.least for one in known),
        doubt=max(one.doubt for one in known),
    )


def _places(ordered: npt.NDArray[np.int64], values: npt.NDArray[np.int64]) -> Array:
    """How many of `ordered` lie below each value; equal ones count half."""
    first = np.searchsorted(ordered, values, "left")
    places: Array = (first + np.searchsorted(ordered, values, "right")) / 2
    return places


def _auc_size(area: float, positives: float, negatives: float) -> float:
    """Effective sample size of an AUC of independent cases, by Hanley and McNeil (1982)."""
    a = max(area, 1 - area)
    variance = (
        a * (1 - a)
        + max(positives - 1, 0) * (a / (2 - a) - a * a)
        + max(negatives - 1, 0) * (2 * a * a / (1 + a) - a * a)
    ) / (positives * negatives)
    return a * (1 - a) / variance if variance > 0 else min(positives, negatives)
