"""Interval of the mean of bounded values (Dice, distances) by group, with a group at the bound.

Student's t interval, with the variance by jackknife over groups, knows only what it has seen: of 20
patients that are outlined well it concludes that none is missed. Where one in 20 is, with a Dice of
0, it lies above the truth in up to 4 of 10 audits, and so does a bootstrap. What the data cannot
show, the bounds of the values can: each end is that of a t interval to which one more group of mean
size has joined, at the lower bound for the lower end, at the upper bound for the upper end. (Gaffke
2005, "Three test statistics for a nonparametric one-sided hypothesis on the mean of a nonnegative
variable", adds the bound to the sample likewise.) `experiments/coverage` holds the simulations.
"""

from __future__ import annotations

import numpy as np

from robust.metrics.arrays import Array
from robust.metrics.intervals import equal_groups, jackknife_variance, student_quantile


def mean_interval(sums: Array, sizes: Array, most: float) -> tuple[float, float]:
    """The 95 % interval of `sums.sum() / sizes.sum()`, both by group; values lie in [0, most].

    No size is 0. Both ends lie in [0, most], with the mean between them.
    """
    unit = float(sizes.mean())
    enlarged = np.append(sizes, unit)
    middle, reach = _student(np.append(sums, 0.0), enlarged)
    low = max(middle - reach, 0.0)
    middle, reach = _student(np.append(sums, most * unit), enlarged)
    return low, min(middle + reach, most)


def _student(sums: Array, sizes: Array) -> tuple[float, float]:
    """The mean, and how far the t interval reaches to either side."""
    without = (sums.sum() - sums) / (sizes.sum() - sizes)
    degrees = min(float(len(sizes)), equal_groups(sizes)) - 1
    student = student_quantile(degrees)
    return float(sums.sum() / sizes.sum()), student * jackknife_variance(without) ** 0.5
