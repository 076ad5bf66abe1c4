"""Paired difference of two rates on the same cases (after Bonett and Price 2012), by group."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from robust.metrics.arrays import Array, Mask
from robust.metrics.by_group import FEWEST, rate_precision
from robust.metrics.groups import group_codes
from robust.metrics.intervals import jackknife_variance, student_quantile
from robust.records import Estimate

Side = tuple[npt.ArrayLike, npt.ArrayLike]
"""Values `(n,)`, each 0 or 1, and the mask `(n,)` of the cases that their rate is taken over."""

CHANGED_DOUBT = 3.0
"""As `RATE_DOUBT`, of the share of cases that differ between the two sides."""


def balanced_difference(
    groups: Sequence[object], labels: npt.NDArray[np.int64], old: Array, new: Array
) -> Estimate:
    """Mean over the classes present of the mean of `new` less that of `old`, paired, `(n,)` each.

    The intervals of the classes are joined as those of the balanced error are (MOVER): squared
    where no group has cases of two classes, else added up, which is never too narrow.
    """
    paired = Paired(groups)
    masks = [labels == label for label in np.unique(labels)]
    each = [found for mask in masks if (found := paired.difference((old, mask), (new, mask)))]
    value = float(np.mean([one.value for one in each]))
    cases, count = len(labels), len(np.unique(paired.codes))
    if any(one.interval is None for one in each):
        needed = math.ceil(count * FEWEST / min(one.groups for one in each))
        return Estimate(value, None, None, cases, count, needed)
    ends = [one.interval or (0.0, 0.0) for one in each]
    reach = np.array([[o.value - e[0], e[1] - o.value] for o, e in zip(each, ends, strict=True)])
    apart = sum(one.groups for one in each) == count
    joined = np.sqrt((reach**2).sum(0)) if apart else reach.sum(0)
    below, above = (joined / len(each)).tolist()
    return Estimate(value, max(value - below, -1.0), min(value + above, 1.0), cases, count)


class Paired:
    """Differences by jackknife over groups, both sides at once, so that what they share cancels.

    Where few cases differ, their spread says little: with none it is zero, and four that change in
    the same direction would exclude 0. So two artificial units join, one in favour of each side,
    after Bonett and Price (2012, "Adjusted Wald confidence interval for a difference of binomial
    proportions based on paired data"). A unit is one case where images of a group change
    independently, and a group where they change together; the share of changed cases tells which.
    The point estimate stays as it is.
    """

    def __init__(self, groups: Sequence[object]) -> None:
        self.codes = group_codes([str(group) for group in groups])

    def difference(self, old: Side, new: Side) -> Estimate | None:
        """Rate of `new` minus rate of `old`, in [-1, 1]; None where either has no case.

        Each side has its own mask: other cases can be correct without attack in each run.
        """
        masks = [np.asarray(mask, bool) for _, mask in (old, new)]
        if not all(mask.any() for mask in masks):
            return None
        values = [
            np.where(mask, np.asarray(value, np.float64), 0.0)
            for (value, _), mask in zip((old, new), masks, strict=True)
        ]
        either = masks[0] | masks[1]
        _, codes = np.unique(self.codes[either], return_inverse=True)
        cases, groups = int(either.sum()), int(codes.max()) + 1

        def by_group(amounts: Array | Mask) -> Array:
            return np.bincount(codes, amounts[either], groups).astype(np.float64)

        hits, sizes = [by_group(v) for v in values], [by_group(m) for m in masks]
        value = float(hits[1].sum() / sizes[1].sum() - hits[0].sum() / sizes[0].sum())
        if groups < FEWEST:
            return Estimate(value, None, None, cases, groups, FEWEST)
        changed = (masks[0] != masks[1]) | (values[0] != values[1])
        known = rate_precision(by_group(changed), by_group(either), CHANGED_DOUBT)
        share = float(changed.sum() / cases)
        with np.errstate(invalid="ignore", divide="ignore"):
            rates = [(h.sum() - h) / (n.sum() - n) for h, n in zip(hits, sizes, strict=True)]
        without = rates[1] - rates[0]
        variance = jackknife_variance(without[np.isfinite(without)])
        total = sum(float(size.sum()) for size in sizes) / 2
        unit = total / known.size(share)
        enlarged = total + 2 * unit
        variance = (variance * total**2 + 2 * unit**2) / enlarged**2
        student = student_quantile(known.degrees)
        middle, reach = value * total / enlarged, student * float(np.sqrt(variance))
        low, high = max(middle - reach, -1.0), min(middle + reach, 1.0)
        return Estimate(value, min(low, value), max(high, value), cases, groups)
