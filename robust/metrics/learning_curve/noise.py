"""How much numbers of equally trained models vary, as a power law of the number of images.

Few repeats tell little of the variance at one size. A line through the logarithms of the variances
(Carroll and Ruppert 1988, "Transformation and weighting in regression") holds constant noise, and
noise that falls as the training set grows.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from robust.metrics.arrays import Array

_MOST_SLOPE = 2.0
_CLEAR = 2.0
"""Standard errors that a slope must differ from 0 to be believed."""


def noise_weights(images: Array, errors: Array) -> Array:
    """Inverse variances `(n,)` up to a factor; all 1 where fewer than three sizes are repeated."""
    sizes = np.unique(images)
    groups = [errors[images == size] for size in sizes]
    kept = [
        (size, len(one) - 1, float(one.var(ddof=1)))
        for size, one in zip(sizes, groups, strict=True)
        if len(one) > 1
    ]
    kept = [row for row in kept if row[2] > 0]
    if len(kept) < 3:
        return np.ones(len(images))
    at, degrees, variances = np.array(kept).T
    x = np.log(at)
    y = np.log(variances) - special.digamma(degrees / 2) + np.log(degrees / 2)
    doubt = special.polygamma(1, degrees / 2)
    middle = (x / doubt).sum() / (1 / doubt).sum()
    slope = float(((x - middle) * y / doubt).sum() / ((x - middle) ** 2 / doubt).sum())
    # A slope that chance alone explains costs more by its error than it gains.
    if abs(slope) * float(((x - middle) ** 2 / doubt).sum()) ** 0.5 < _CLEAR:
        return np.ones(len(images))
    slope = min(max(slope, -_MOST_SLOPE), _MOST_SLOPE)
    weights = np.asarray((images / images.min()) ** -slope)
    return np.asarray(weights / weights.mean(), np.float64)
