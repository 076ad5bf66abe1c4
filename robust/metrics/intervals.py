"""Intervals of a share on its effective sample size (Korn and Graubard 1998), by group.

A share in [0, 1] (a rate, an AUC, a place in a distribution) with a variance that respects groups
is worth as many independent cases as a binomial proportion of that variance: its effective sample
size. The exact binomial interval (Clopper and Pearson 1934) of that size is the interval. Korn and
Graubard (1998, "Confidence intervals for proportions with small expected number of positive counts
estimated from survey data", Survey Methodology 24) correct the size by the t distribution, since
the variance is itself estimated from few groups.

Where few groups disagree with the rest, that estimate is poor: one patient with a single misread
image says nothing about how alike images of a patient are. So the size is drawn towards that of
groups whose images are all alike, the more the fewer groups disagree. `experiments/coverage`
holds the simulations by which this was chosen, beside the methods that it was chosen from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from scipy import stats as scipy_stats

from robust.metrics.arrays import Array

LEVEL = 0.95
"""Confidence level of every interval."""

_TAIL = (1 - LEVEL) / 2
_NORMAL = float(scipy_stats.norm.ppf(1 - _TAIL))

EVEN_SIZES = 1.25
"""How far the number of groups may exceed that of equal groups which would say as much (Kish): the
sizes 1 to 6, equally often, reach it. Beyond, groups of very different sizes count as fewer."""


@dataclass(frozen=True)
class Precision:
    """How much is known about a share."""

    variance: float
    """Of the estimate, by jackknife over groups."""
    groups: float
    """Number of groups; of equal size those that would say as much, where sizes differ much."""
    degrees: float
    """Degrees of freedom of the variance."""
    most: float
    """The effective sample size if no two images of a group were alike: never above it."""
    least: float
    """The effective sample size if all images of a group were alike."""
    doubt: float
    """Weight of `least`, in [0, 1]."""

    def size(self, share: float) -> float:
        """Effective sample size of a share in [0, 1]."""
        spread = share * (1 - share)
        if spread <= 0 or self.variance <= 0:
            return self.groups
        size = min(spread / self.variance, self.most)
        return 1 / ((1 - self.doubt) / size + self.doubt / min(size, self.least))


@lru_cache(maxsize=4096)  # the shares of a report repeat; a quantile takes half a millisecond
def clopper_pearson(
    hits: float, trials: float, tails: tuple[float, float] = (_TAIL, _TAIL)
) -> tuple[float, float]:
    """Exact 95 % interval of a binomial proportion (Clopper and Pearson 1934).

    Hits and trials may be fractional. The ends are 0 and 1 where there is no hit, or nothing else.
    `tails` are the chances that the truth lies below, and above.
    """
    low = 0.0 if hits <= 0 else float(scipy_stats.beta.ppf(tails[0], hits, trials - hits + 1))
    high = 1.0
    if hits < trials:
        high = float(scipy_stats.beta.ppf(1 - tails[1], hits + 1, trials - hits))
    return low, high


def groups_needed(bound: float) -> int:
    """Fewest groups with which the lower bound reaches `bound` if all are correct."""
    least = max(1, math.floor(math.log(_TAIL) / math.log(bound)))
    while clopper_pearson(least, least)[0] < bound:
        least += 1
    return least


def share_interval(share: float, known: Precision, inner: float = _TAIL) -> tuple[float, float]:
    """The 95 % interval of a share in [0, 1].

    `inner` is the chance that the truth lies beyond the end nearer to 0.5; the rest of 5 % lies
    beyond the other end.
    """
    size = known.size(share)
    if share in (0.0, 1.0) or known.variance <= 0:
        return clopper_pearson(share * size, size)
    student = student_quantile(known.degrees)
    size *= (_NORMAL / student) ** 2
    outer = 2 * _TAIL - inner
    tails = (inner, outer) if share > 0.5 else (outer, inner)
    low, high = clopper_pearson(share * size, size, tails)
    return min(low, share), max(high, share)


@lru_cache(maxsize=1024)
def student_quantile(degrees: float) -> float:
    """How many standard errors the 95 % interval of a t distribution reaches to either side.

    Of fewer degrees of freedom than one as of one.
    """
    return float(scipy_stats.t.ppf(1 - _TAIL, max(degrees, 1.0)))


def equal_groups(sizes: Array) -> float:
    """Number of equal groups that say as much as groups of these sizes (Kish 1965); 0 for none."""
    squares = float((sizes**2).sum())
    return float(sizes.sum()) ** 2 / squares if squares else 0.0


def jackknife_variance(without: Array) -> float:
    """Variance of an estimate, from its values without each group in turn `(groups,)`."""
    count = len(without)
    return float((count - 1) / count * ((without - without.mean()) ** 2).sum())
