"""Whether numbers support a power law: enough sizes, a falling error, and no lack of fit."""

from __future__ import annotations

import numpy as np
from scipy import stats as scipy_stats

from robust.metrics.arrays import Array
from robust.metrics.learning_curve.law import FittedLaw

FEWEST_SIZES = 4
"""Different numbers of training images, for a fit of three constants."""
DOUBT = 0.1
"""A lack of fit that chance alone makes more rarely than this is told."""

PLATEAU = 0.1
"""F above which a law with a plateau counts as better. Low, so that the end of a curve that is not
a power law is told: at 1, the interval held the Bayes error of two Gaussians, or a warning was
raised, in three of four."""

SUPPORTED = 2.0
"""Residual variances by which the squares of a law with a plateau may lie above those of the law
without, for its end to count: the difference of AIC up to which two models both have substantial
support (Burnham and Anderson 2002, "Model selection and multimodel inference", section 2.6)."""


def misfit_text(law: FittedLaw) -> str:
    """Why the fit must not be relied on; empty where nothing speaks against it."""
    told = [_lack_of_fit(law), _rise(law), _early(law), _shifted(law), _flat(law)]
    return "; ".join(one for one in told if one)


def _pure_error(law: FittedLaw) -> tuple[float, int]:
    """Weighted squares within sizes, and their degrees of freedom."""
    squares, degrees = 0.0, 0
    for size in np.unique(law.images):
        own = law.images == size
        squares += float((law.weights[own] * (law.errors[own] - law.errors[own].mean()) ** 2).sum())
        degrees += int(own.sum()) - 1
    return squares, degrees


def _lack_of_fit(law: FittedLaw) -> str:
    """F test of what the law leaves between sizes, against the spread within sizes."""
    within, degrees = _pure_error(law)
    if not degrees:
        return "no size has two models: nothing shows whether the law fits"
    between = max(law.least - within, 0.0)
    left = len(np.unique(law.images)) - 3
    if between <= 1e-12 * law.least or within <= 0:
        return "" if between <= 1e-12 * max(law.least, 1e-300) else "the law does not fit"
    chance = float(scipy_stats.f.sf((between / left) / (within / degrees), left, degrees))
    return f"the law does not fit (lack of fit: p = {chance:.2g})" if chance < DOUBT else ""


def _means(law: FittedLaw) -> tuple[Array, Array, Array]:
    sizes = np.unique(law.images)
    means = np.array([law.errors[law.images == size].mean() for size in sizes])
    weights = np.array([law.weights[law.images == size].sum() for size in sizes])
    return sizes, means, weights


def _rise(law: FittedLaw) -> str:
    """A mean error above that of fewer images, by more than chance explains."""
    sizes, means, weights = _means(law)
    within, degrees = _pure_error(law)
    if not degrees or within <= 0:
        rises = np.flatnonzero(np.diff(means) > 0) if degrees else np.array([], int)
    else:
        doubt = np.sqrt(within / degrees * (1 / weights[1:] + 1 / weights[:-1]))
        limit = float(scipy_stats.t.isf(0.05 / len(doubt), degrees))
        rises = np.flatnonzero(np.diff(means) > limit * doubt)
    if not len(rises):
        return ""
    place = int(rises[0])
    return f"the error rises from {sizes[place]:.0f} to {sizes[place + 1]:.0f} images"


def _early(law: FittedLaw) -> str:
    """Whether the smallest size alone draws the curve away from where the others lead."""
    later = law.images > law.unit
    if len(np.unique(law.images[later])) < FEWEST_SIZES:
        return ""
    other = FittedLaw(law.images[later], law.errors[later], law.weights[later])
    if other.degrees < 1:
        return ""
    low, high = law.values(np.inf)
    if low <= other.constants[0] <= high:
        return ""
    return f"without {law.unit:.0f} images the curve ends elsewhere"


def _shifted(law: FittedLaw) -> str:
    """Whether a + b (n + m)^-c, with a plateau, fits clearly better, or about as well elsewhere."""
    low, high = law.values(np.inf)
    others = [
        FittedLaw(law.images + law.unit * 2.0**power, law.errors, law.weights)
        for power in range(-1, 8)
    ]
    best = min(others, key=lambda other: other.least)
    if (law.least - best.least) * (law.degrees - 1) > PLATEAU * best.least:
        return f"a law with a plateau fits better and ends at an error of {best.constants[0]:.3f}"
    limit = law.least * (1 + SUPPORTED / law.degrees)
    ends = [other.constants[0] for other in others if other.least <= limit]
    outside = [end for end in ends if not low <= end <= high]
    if not outside:
        return ""
    return f"a law with a plateau fits about as well and ends at an error of {outside[0]:.3f}"


def _flat(law: FittedLaw) -> str:
    """Whether a constant error fits as well."""
    mean = float((law.weights * law.errors).sum() / law.weights.sum())
    squares = float((law.weights * (law.errors - mean) ** 2).sum())
    if law.least <= 0:
        return "" if squares > 0 else "the error does not fall: its exponent is unknown"
    ratio = ((squares - law.least) / 2) / (law.least / law.degrees)
    chance = float(scipy_stats.f.sf(max(ratio, 0.0), 2, law.degrees))
    return "" if chance < 0.05 else "the error does not fall: its exponent is unknown"
