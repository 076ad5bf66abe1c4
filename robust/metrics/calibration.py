"""Calibration: expected calibration error (Guo et al. 2017), Brier score, intervals by group.

Probabilities are the softmax of the logits as the adapter gives them: where a plan sets another
threshold than 0.5, the logits are shifted by it, and so are the probabilities. A confidence is that
of the predicted class, and it is right where the class is.

The expected calibration error is that of Guo, Pleiss, Sun and Weinberger 2017, "On calibration of
modern neural networks": 15 bins of equal width, in each the mean confidence against the share that
is right, absolute differences weighted by cases. Deviations by chance do not cancel, so that it is
above 0 for a perfectly calibrated model, the more the fewer cases there are: `chance_error` says by
how much. The Brier score is the sum over all classes of squared differences (Brier 1950), in
[0, 2]; of two classes it is twice the form that counts one of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats as scipy_stats

from robust.metrics.arrays import Array, Mask, Places
from robust.metrics.by_group import ByGroup
from robust.metrics.intervals import LEVEL, student_quantile
from robust.metrics.mean_intervals import mean_interval
from robust.records import Estimate

BINS = 15
"""Of equal width, of confidences from 0 to 1; a value between two belongs to the upper one."""
FEWEST_CALIBRATED = 10
"""Groups below which a calibration error gets no interval."""

_HALF_NORMAL = float(np.sqrt(2 / np.pi))
"""Mean of the absolute value of a standard normal variable."""
_FAR = (float(scipy_stats.norm.ppf((3 + LEVEL) / 4)) - _HALF_NORMAL) / (1 - 2 / np.pi) ** 0.5
"""Standard deviations above its mean that 97.5 % of these values stay below."""


@dataclass(frozen=True)
class Confidences:
    """The predictions of n cases: how sure the model is, and whether it is right."""

    confidence: Array
    """`(n,)`: probability of the predicted class."""
    right: Mask
    """`(n,)`."""
    squares: Array
    """`(n,)`: sum over the classes of the squared differences to the truth, in [0, 2]."""

    @classmethod
    def of(cls, logits: Array, labels: npt.NDArray[np.int64]) -> Confidences:
        """From logits `(n, k)` and classes `(n,)`."""
        odds = np.exp(logits - logits.max(1, keepdims=True))
        chances = odds / odds.sum(1, keepdims=True)
        truth = np.zeros_like(chances)
        np.put_along_axis(truth, labels[:, None], 1.0, 1)
        squares: Array = ((chances - truth) ** 2).sum(1)
        return cls(chances.max(1), chances.argmax(1) == labels, squares)

    @property
    def bins(self) -> Places:
        """`(n,)`: the bin of each confidence."""
        edges = np.linspace(0, 1, BINS + 1)[1:-1]
        return np.searchsorted(edges, self.confidence, "right")


def calibration_error(by_group: ByGroup, found: Confidences, mask: Mask) -> Estimate | None:
    """Expected calibration error of the cases in `mask (n,)`; None without one.

    The upper end is that of a mean of differences whose signs are known. It holds since the
    error is above the truth on average. Below, chance has all signs: the lower end is as far
    away as the absolute deviations of all bins together reach, or as that of the mean, once one
    more group has joined at the lower bound.
    """
    if not mask.any():
        return None
    codes = np.unique(by_group.codes[mask], return_inverse=True)[1]
    gaps, bins = (found.confidence - found.right)[mask], found.bins[mask]
    cases, groups = len(gaps), int(codes.max()) + 1
    by_bin = np.bincount(bins, gaps, BINS)
    value = float(np.abs(by_bin).sum() / cases)
    if groups < FEWEST_CALIBRATED:
        return Estimate(value, None, None, cases, groups, FEWEST_CALIBRATED)
    sizes = np.bincount(codes).astype(np.float64)
    signed = np.bincount(codes, np.sign(by_bin)[bins] * gaps)
    low, high = (end - 1 for end in mean_interval(signed + sizes, sizes, 2.0))
    table = (
        np.bincount(codes * BINS + bins, gaps, groups * BINS)
        .reshape(groups, BINS)
        .astype(np.float64)
    )
    joined = (groups * value - 1) / (groups + 1)
    low = max(min(low, joined - _reach(table, sizes)), 0.0)
    return Estimate(value, min(low, value), max(high, value), cases, groups)


def _reach(table: Array, sizes: Array) -> float:
    """What the absolute deviations of all bins sum to, in at most 2.5 % of samples beyond it.

    `table (g, b)` are the sums of differences by group and bin, `sizes (g,)` cases. Deviations are
    normal, with the covariance of a jackknife over groups.
    """
    cases, groups = float(sizes.sum()), len(sizes)
    mean = table.sum(0) / cases
    parts = (table - sizes[:, None] * mean) / cases
    covariance = parts.T @ parts * groups / (groups - 1)
    spread = np.sqrt(np.diag(covariance))
    seen = spread > 0
    spread, covariance = spread[seen], covariance[np.ix_(seen, seen)]
    alike = np.clip(covariance / np.outer(spread, spread), -1.0, 1.0)
    both = np.sqrt(1 - alike**2) + alike * np.arcsin(alike) - 1
    variance = 2 / np.pi * float(spread @ both @ spread)
    student = student_quantile(groups - 1) / scipy_stats.norm.ppf((1 + LEVEL) / 2)
    return float(student * (_HALF_NORMAL * spread.sum() + _FAR * max(variance, 0.0) ** 0.5))


def chance_error(found: Confidences, mask: Mask) -> float | None:
    """Mean calibration error of a calibrated model with these confidences; None without a case.

    Cases are taken as independent, and those of a bin as equally likely to be right, so that it is
    the mean absolute deviation of a binomial variable (de Moivre; Diaconis and Zabell 1991).
    """
    if not mask.any():
        return None
    bins = found.bins[mask]
    counts = np.bincount(bins, minlength=BINS)
    sums = np.bincount(bins, found.confidence[mask], BINS)
    size, mean = counts[counts > 0], sums[counts > 0] / counts[counts > 0]
    above = np.floor(size * mean) + 1
    away = 2 * above * (1 - mean) * scipy_stats.binom.pmf(above, size, mean)
    return float(away.sum() / counts.sum())


def brier_score(by_group: ByGroup, found: Confidences, mask: Mask) -> Estimate | None:
    """Mean over the cases in `mask (n,)` of the squared differences; None without one."""
    return by_group.mean(found.squares, mask, most=2.0)


def answers_labels(logits: Array) -> bool:
    """Whether logits `(n, k)` are those of a black box that answers labels alone: 0 and one 1."""
    return bool(np.isin(logits, (0.0, 1.0)).all() and (logits.sum(1) == 1).all())
