"""95 % intervals of variance components.

Balanced designs: the component of a factor is the difference of two independent mean squares,
divided by a count; its interval is the modified-large-sample interval of Ting, Burdick, Graybill,
Jeyaratnam and Lu (1990) for such differences (Burdick and Graybill 1992, "Confidence intervals on
variance components"). Where a mean square estimates the variance itself, the chi-square interval is
exact. Unbalanced designs: the generalised interval (Weerahandi 1993) of a factor with nothing
nested in it, all other factors taken as fixed: the distribution of the variance that solves
sum z_i^2 / (e + l_i v) = chi-square, e the residual variance, drawn from its own chi-square.
"""

from __future__ import annotations

import numpy as np
from scipy import optimize
from scipy import stats as scipy_stats

from robust.metrics.arrays import Array
from robust.metrics.intervals import LEVEL
from robust.metrics.variance_components.factors import beyond, joint_span

_TAIL = (1 - LEVEL) / 2
_MANY = 1e9
"""Degrees of freedom that stand for infinitely many."""
_DRAWS = 400
"""Quantiles of the residual variance that the generalised interval averages over."""


def chi_square_interval(mean_square: float, degrees: int) -> tuple[float, float]:
    """Exact interval of a variance from its mean square."""
    ends = [float(scipy_stats.chi2.ppf(at, degrees)) for at in (1 - _TAIL, _TAIL)]
    return degrees * mean_square / ends[0], degrees * mean_square / ends[1]


def difference_interval(
    upper: float, upper_degrees: int, lower: float, lower_degrees: int
) -> tuple[float, float]:
    """Modified-large-sample interval of the difference of two expected mean squares.

    Ends below 0 are 0.
    """
    value = upper - lower
    high_f = float(scipy_stats.f.isf(_TAIL, upper_degrees, lower_degrees))
    low_f = float(scipy_stats.f.isf(1 - _TAIL, upper_degrees, lower_degrees))
    g = [1 - 1 / float(scipy_stats.f.isf(_TAIL, n, _MANY)) for n in (upper_degrees, lower_degrees)]
    h = [
        1 / float(scipy_stats.f.isf(1 - _TAIL, n, _MANY)) - 1
        for n in (upper_degrees, lower_degrees)
    ]
    cross = ((high_f - 1) ** 2 - g[0] ** 2 * high_f**2 - h[1] ** 2) / high_f
    below = g[0] ** 2 * upper**2 + h[1] ** 2 * lower**2 + cross * upper * lower
    cross = ((1 - low_f) ** 2 - h[0] ** 2 * low_f**2 - g[1] ** 2) / low_f
    above = h[0] ** 2 * upper**2 + g[1] ** 2 * lower**2 + cross * upper * lower
    low = value - max(below, 0.0) ** 0.5
    return max(low, 0.0), max(value + max(above, 0.0) ** 0.5, 0.0)


def generalised_interval(
    values: Array, others: Array, columns: Array
) -> tuple[float, float] | None:
    """Of the variance of the factor `columns (n, levels)`; None where no degree of freedom is left.

    `others (n, m)` are fixed effects and all other factors, whose effects are taken out first.
    """
    lower = joint_span(others)
    everything = joint_span(lower, columns)
    own = beyond(everything, lower)
    rest = beyond(np.eye(len(values)), everything)
    if not own.shape[1] or not rest.shape[1]:
        return None
    seen = own.T @ columns
    sizes, turn = np.linalg.eigh(seen @ seen.T)
    squares = (turn.T @ (own.T @ values)) ** 2
    left = float(((rest.T @ values) ** 2).sum())
    levels = (np.arange(_DRAWS) + 0.5) / _DRAWS
    errors = left / scipy_stats.chi2.ppf(levels, rest.shape[1])

    def below(variance: float) -> float:
        """Chance that the generalised pivot lies at or below `variance`."""
        sums = (squares / (errors[:, None] + sizes * variance)).sum(1)
        return float(scipy_stats.chi2.sf(sums, len(sizes)).mean())

    def end(chance: float) -> float:
        if below(0.0) >= chance:
            return 0.0
        far = float(squares.sum()) / float(sizes.min()) + left
        while below(far) < chance:
            far *= 4
        return float(optimize.brentq(lambda at: below(at) - chance, 0.0, far, xtol=1e-12 * far))

    return end(_TAIL), end(1 - _TAIL)
