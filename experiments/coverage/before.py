"""The intervals that reports printed before: percentiles of a cluster bootstrap."""

from __future__ import annotations

from functools import cache

import numpy as np

from experiments.coverage.data import Readings, Scored
from robust.metrics.arrays import Array, Mask, Places
from robust.metrics.intervals import clopper_pearson

DRAWS = 500
QUANTILES = (0.025, 0.975)


@cache
def weights(groups: int) -> Array:
    """How often each group was drawn, `(draws, groups)`."""
    rng = np.random.default_rng(groups)
    return rng.multinomial(groups, np.full(groups, 1 / groups), DRAWS).astype(float)


def percentile_rate(groups: Places, hits: Mask) -> tuple[float, float]:
    """Interval of a rate."""
    sizes, sums = np.bincount(groups).astype(float), np.bincount(groups, hits)
    drawn = weights(len(sizes))
    return _ends(float(hits.mean()), (drawn @ sums) / (drawn @ sizes), len(sizes))


def percentile_auc(data: Scored) -> tuple[float, float] | None:
    """Interval of an AUC; None unless both sides occur."""
    if data.positive.all() or not data.positive.any():
        return None
    drawn = weights(int(data.groups.max()) + 1)[:100, data.groups]
    rarer = min(len(np.unique(data.groups[side])) for side in (data.positive, ~data.positive))
    found = _weighted_auc(data.scores, data.positive, drawn)
    value = _weighted_auc(data.scores, data.positive, np.ones((1, len(data.scores))))
    return _ends(float(value[0]), found, rarer)


def percentile_median(groups: Places, values: Array) -> tuple[float, float]:
    """Interval of a median."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights(int(groups.max()) + 1)[:, groups[order]], axis=1)
    at = (reached * 2 >= reached[:, -1:]).argmax(1)
    low, high = np.quantile(values[order][at], QUANTILES)
    middle = float(np.median(values))
    return min(float(low), middle), max(float(high), middle)


def percentile_difference(data: Readings) -> tuple[float, float]:
    """Interval of a paired difference; two artificial groups join, after Bonett and Price 2012."""
    groups = int(data.groups.max()) + 1
    sizes = np.bincount(data.groups).astype(float)
    gained = np.bincount(data.groups, data.second.astype(float) - data.first)
    unit = sizes.mean()
    drawn = weights(groups + 2)
    found = drawn @ np.append(gained, [unit, -unit]) / (drawn @ np.append(sizes, [unit, unit]))
    low, high = np.quantile(found, QUANTILES)
    value = float(data.second.mean() - data.first.mean())
    return min(float(low), value), max(float(high), value)


def _weighted_auc(scores: Array, positive: Mask, weights: Array) -> Array:
    """AUC of each resample `(draws,)`, for weights `(draws, n)`; ties count half."""
    order = np.argsort(scores, kind="stable")
    ordered, is_positive, weights = scores[order], positive[order], weights[:, order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    ups = np.add.reduceat(weights * is_positive, starts, axis=1)
    downs = np.add.reduceat(weights * ~is_positive, starts, axis=1)
    below = np.cumsum(downs, axis=1) - downs
    with np.errstate(invalid="ignore", divide="ignore"):
        area: Array = (ups * (below + downs / 2)).sum(1) / (ups.sum(1) * downs.sum(1))
    return area


def _ends(value: float, draws: Array, groups: int) -> tuple[float, float]:
    low, high = np.quantile(draws[np.isfinite(draws)], QUANTILES)
    if value in (0.0, 1.0) or high - low < 1e-9:
        return clopper_pearson(value * groups, groups)
    return min(float(low), value), max(float(high), value)
