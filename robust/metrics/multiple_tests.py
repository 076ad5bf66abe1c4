"""Many tests at once: which of them are significant after Holm's correction (Holm 1979)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats as scipy_stats

from robust.metrics.intervals import LEVEL
from robust.records import Estimate


def holm(p_values: Sequence[float], level: float) -> list[bool]:
    """Which hypotheses are rejected, so that a false rejection among them is as rare as `level`."""
    rejected = [False] * len(p_values)
    for rank, place in enumerate(np.argsort(p_values, kind="stable")):
        if p_values[place] > level / (len(p_values) - rank):
            break
        rejected[place] = True
    return rejected


def p_value_of_zero(difference: Estimate) -> float:
    """Two-sided p-value of no difference that a 95 % t interval implies; 1 without an interval.

    Degrees of freedom are the groups less one. Below 0.05 exactly where the interval excludes 0.
    """
    if difference.interval is None:
        return 1.0
    low, high = difference.interval
    middle, reach = (low + high) / 2, (high - low) / 2
    if reach <= 0:
        return float(middle == 0)
    degrees = max(difference.groups - 1, 1)
    error = reach / float(scipy_stats.t.ppf((1 + LEVEL) / 2, degrees))
    return float(2 * scipy_stats.t.sf(abs(middle) / error, degrees))
