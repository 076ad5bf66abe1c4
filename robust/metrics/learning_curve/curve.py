"""A measure against the number of training images: 1 - measure = a + b n^-c (Cho et al. 2015).

Cho, Lee, Shin, Choy and Do (2015, "How much data is needed to train a medical image deep learning
system to achieve necessary high accuracy?") fit the law to accuracies and read off the number of
images that a wanted accuracy takes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from robust.errors import InputError
from robust.metrics.arrays import Array
from robust.metrics.intervals import student_quantile
from robust.metrics.learning_curve.law import FittedLaw
from robust.metrics.learning_curve.misfit import FEWEST_SIZES, misfit_text, undecided_text
from robust.metrics.learning_curve.noise import noise_weights
from robust.records import (
    BandPoint,
    CurvePoint,
    Estimate,
    FittedValue,
    LearningCurve,
    WantedAccuracy,
)

REACH = 4.0
"""A wanted value beyond so many times the largest number of images is told as extrapolated."""
_BAND = 60
_FAR = 1e12
"""Images beyond which none are counted."""


def fit_learning_curve(
    images: Sequence[float],
    values: Sequence[float],
    variances: Sequence[float] | None = None,
    wanted: Sequence[float] = (),
    *,
    measure: str = "",
    condition: str = "",
    series: str = "",
) -> LearningCurve:
    """The curve of `values` in [0, 1], larger is better, one for each trained model.

    `images` are numbers of training images of the same length; `variances`, relative variances of
    the values, are estimated from repeats of a size where left out. The curve and its intervals are
    those of these test cases: what all models share of their draw is in none of them. `wanted`
    holds values of the measure. InputError for lengths that differ or numbers out of range.
    """
    sizes, errors, weights = _checked(images, values, variances, wanted)
    points = tuple(_points(sizes, 1 - errors))
    count = len(points)
    if count < FEWEST_SIZES or len(errors) < FEWEST_SIZES:
        why = f"{count} sizes of training set: a curve needs at least {FEWEST_SIZES}"
        unknown = tuple(WantedAccuracy(one, None, None, None, why) for one in wanted)
        return LearningCurve(measure, condition, series, points, (), None, None, None, unknown, why)
    law = FittedLaw(sizes, errors, weights)
    misfit = misfit_text(law)
    a, b, c = law.constants
    ends = law.values(math.inf)
    exponents = law.exponents()
    scales = law.scales()
    at = np.geomspace(sizes.min(), sizes.max() * REACH, _BAND)
    return LearningCurve(
        *(measure, condition, series, points),
        tuple(_band(law, float(one)) for one in at),
        FittedValue(a, min(ends[0], a), max(ends[1], a)),
        FittedValue(b, min(scales[0], b), None if math.isinf(scales[1]) else max(scales[1], b)),
        FittedValue(c, min(exponents[0], c), None if math.isinf(exponents[1]) else exponents[1]),
        tuple(_wanted(law, one, misfit) for one in wanted),
        misfit,
        undecided_text(law),
    )


def _checked(
    images: Sequence[float],
    values: Sequence[float],
    variances: Sequence[float] | None,
    wanted: Sequence[float],
) -> tuple[Array, Array, Array]:
    sizes, found = np.asarray(images, np.float64), np.asarray(values, np.float64)
    if len(sizes) != len(found) or not len(sizes):
        raise InputError(f"a learning curve needs one value a model: {len(sizes)}, {len(found)}")
    if not (np.isfinite(sizes).all() and sizes.min() >= 1):
        raise InputError("a learning curve needs numbers of training images of at least 1")
    for one in (found, np.asarray(wanted, np.float64)):
        if not ((one >= 0) & (one <= 1)).all():
            raise InputError("a learning curve needs values in [0, 1]")
    if variances is None:
        return sizes, 1 - found, noise_weights(sizes, found)
    known = np.asarray(variances, np.float64)
    if len(known) != len(found) or not (np.isfinite(known).all() and known.min() > 0):
        raise InputError("variances of a learning curve are positive, one a model")
    return sizes, 1 - found, np.mean(known) / known


def _points(sizes: Array, values: Array) -> list[CurvePoint]:
    found = []
    for size in np.unique(sizes):
        own = values[sizes == size]
        mean, count, low, high = float(own.mean()), len(own), None, None
        if count > 1:
            student = student_quantile(count - 1)
            reach = student * float(own.std(ddof=1)) / count**0.5
            low, high = max(mean - reach, 0.0), min(mean + reach, 1.0)
        estimate = Estimate(mean, low, high, count, count, None if count > 1 else 2)
        found.append(CurvePoint(round(size), estimate, count))
    return found


def _band(law: FittedLaw, images: float) -> BandPoint:
    value = law.value(images)
    low, high = law.values(images)
    low, high = min(low, value), max(high, value)
    return BandPoint(images, 1 - value, max(1 - high, 0.0), min(1 - low, 1.0))


def _wanted(law: FittedLaw, value: float, misfit: str) -> WantedAccuracy:
    """Where the curve, and each end of its interval, reaches the wanted value."""
    error = 1 - value
    a, b, c = law.constants
    floor, ceiling = law.values(math.inf)
    if error <= floor:
        why = f"no number of images: with any, at most {1 - floor:.3f} is to be expected"
        return WantedAccuracy(value, None, None, None, why)
    images = (b / (error - a)) ** (1 / c) if error > a and b > 0 else None
    low = _reaches(law, error, 0)
    high = _reaches(law, error, 1) if error > ceiling else None
    largest = float(law.images.max())
    if images is not None and images > _FAR:
        images = None
    if images is None:
        why = "the fitted curve does not reach it; its interval does"
    elif misfit:
        why = misfit
    elif images > REACH * largest:
        why = f"more than {REACH:g} times the largest training set: extrapolated"
    else:
        why = ""
    images = None if images is None else max(images, 1.0)
    if images is not None:
        low = min(low or 1.0, images)
        high = None if high is None else max(high, images)
    return WantedAccuracy(value, images, low, high, why)


def _reaches(law: FittedLaw, error: float, end: int) -> float | None:
    """Number of images at which an end of the curve's interval falls to `error`; None: never."""

    def above(exponent: float) -> bool:
        return law.values(math.exp(exponent))[end] > error

    low, high = 0.0, math.log(_FAR)
    if above(high):
        return None
    if not above(low):
        return 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if above(middle) else (low, middle)
    return math.exp(high)
