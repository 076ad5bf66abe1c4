"""What speaks against a power law, and what the numbers leave open about it.

Two voices, so that the loud one is heard. The data contradict the law: one test of lack of fit,
whose share of false alarms is its level. The data are silent: no test is possible, or no fall is
seen; the interval allows for that.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import stats as scipy_stats

from robust.metrics.learning_curve.law import FittedLaw

FEWEST_SIZES = 4
"""Different numbers of training images, for a fit of three constants."""
LEVEL_OF_MISFIT = 0.05
"""A lack of fit that chance alone makes more rarely than this is told."""


def misfit_text(law: FittedLaw) -> str:
    """What contradicts the law; empty where nothing does.

    F test of what the law leaves between sizes, against the spread within sizes. A constant that
    lies on its bound was not fitted, so that one degree of freedom more is left (Wollan and Dykstra
    1986, "Conditional tests with an order restriction as a null hypothesis").
    """
    within, degrees = _pure_error(law)
    if not degrees:
        return ""
    between = law.least - within
    if between <= 1e-12 * law.least:
        return ""
    sizes = np.unique(law.images)
    left = len(sizes) - law.free_constants
    ratio = (between / left) / (within / degrees) if within > 0 else np.inf
    chance = float(scipy_stats.f.sf(ratio, left, degrees))
    if chance >= LEVEL_OF_MISFIT:
        return ""
    return f"the law does not fit (p = {chance:.2g}), least of all at {_worst(law):.0f} images"


def undecided_text(law: FittedLaw) -> str:
    """What the numbers are too few to tell; empty where they tell."""
    if len(np.unique(law.images)) == len(law.images):
        return "no size has two models, so that nothing shows whether the law fits"
    return "" if _falls(law) else "the error does not fall by more than chance explains"


def _pure_error(law: FittedLaw) -> tuple[float, int]:
    """Weighted squares within sizes, and their degrees of freedom."""
    squares, degrees = 0.0, 0
    for size in np.unique(law.images):
        own = law.images == size
        squares += float((law.weights[own] * (law.errors[own] - law.errors[own].mean()) ** 2).sum())
        degrees += int(own.sum()) - 1
    return squares, degrees


def _worst(law: FittedLaw) -> float:
    """The number of images at which the mean lies farthest from the law, in standard errors."""

    def distance(size: float) -> float:
        own = law.images == size
        off = float(law.errors[own].mean()) - law.value(size)
        return abs(off) * math.sqrt(law.weights[own].sum())

    sizes: list[float] = np.unique(law.images).tolist()
    return max(sizes, key=distance)


def _falls(law: FittedLaw) -> bool:
    """Whether the law fits better than a constant error, by more than chance."""
    mean = float((law.weights * law.errors).sum() / law.weights.sum())
    squares = float((law.weights * (law.errors - mean) ** 2).sum())
    if law.least <= 0:
        return squares > 0
    ratio = ((squares - law.least) / 2) / (law.least / law.degrees)
    return bool(scipy_stats.f.sf(max(ratio, 0.0), 2, law.degrees) < 0.05)
