"""Mean of a number over training runs on the same test cases, with its 95 % interval."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from robust.metrics.intervals import student_quantile
from robust.records import Estimate


def mean_over_runs(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of at least one estimate; a single one stays as it is.

    Two things are uncertain: other runs (Student's t interval of the mean over runs) and other test
    cases, which all runs share (the mean reach of the single intervals). Their squares are added,
    which is never too narrow: the spread between runs contains a part of the second already.
    """
    if len(estimates) == 1:
        return estimates[0]
    values = np.array([one.value for one in estimates])
    value, cases = float(values.mean()), max(one.cases for one in estimates)
    groups = min(one.groups for one in estimates)
    ends = [one.interval for one in estimates]
    known = np.array([end for end in ends if end is not None])
    if len(known) < len(estimates):
        needed = [one.groups_needed for one in estimates if one.groups_needed is not None]
        return Estimate(value, None, None, cases, groups, max(needed, default=None))
    student = student_quantile(len(values) - 1)
    spread = student * float(values.std(ddof=1)) / math.sqrt(len(values))
    low = value - math.hypot(spread, value - float(known[:, 0].mean()))
    high = value + math.hypot(spread, float(known[:, 1].mean()) - value)
    if known.min() >= 0 and known.max() <= 1:
        low, high = max(low, 0.0), min(high, 1.0)
    return Estimate(value, min(low, value), max(high, value), cases, groups)
