"""Null control: the protocol with clean groups relabelled as attacked; expected AUC 0.5."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats as scipy_stats

from detectors import FittedDetector
from robust.detection.cross_fitting import StatisticSet, cross_fit
from robust.errors import InputError
from robust.metrics.arrays import Places
from robust.metrics.by_group import auc
from robust.metrics.groups import half_of_the_groups
from robust.metrics.intervals import student_quantile
from robust.metrics.multiple_tests import holm
from robust.records import Estimate

DRAWS = 8
"""Random draws of the groups that are relabelled."""

AUC_TOLERANCE, SIGNIFICANCE = 0.03, 0.01
"""A null control alarms where its AUC is further than this from 0.5, at this level (Holm)."""


@dataclass(frozen=True)
class NullResult:
    """Result of the protocol on clean images, half of the groups relabelled as attacked."""

    auc: Estimate
    """Mean over draws of the half, with the 95 % interval of that mean."""
    p: float
    """Two-sided p-value of a mean this far from 0.5 (t test over the draws)."""


def null_control(
    detector: FittedDetector,
    clean: StatisticSet,
    groups: npt.NDArray[np.int64],
    folds: Places,
    seed: int,
    draws: int = DRAWS,
) -> NullResult:
    """AUC of a detector where there is nothing to detect; it should be 0.5.

    Heads that are fitted on noise agree between folds, so a single AUC differs from 0.5 by more
    than its interval says. Therefore the relabelled half is drawn several times: given
    the images, the draws are independent, and the interval comes from their spread.
    """
    found = []
    for draw in range(draws):
        relabelled = half_of_the_groups(groups, folds, seed + draw)[clean.cases]
        halves = clean.take(~relabelled), clean.take(relabelled)
        if not relabelled.any() or relabelled.all():
            raise InputError("the null control needs two groups in a fold; audit more cases")
        (scored,) = cross_fit(detector, *halves, {"null": halves[1]}, folds).values()
        scores = np.concatenate([scored.clean, scored.positive])
        found.append(auc(scores, np.arange(len(scores)) >= len(scored.clean)))
    # As scipy.stats.ttest_1samp, but also where all draws are equal.
    mean, error = float(np.mean(found)), float(np.std(found, ddof=1)) / np.sqrt(draws)
    reach = student_quantile(draws - 1) * error
    p = 2 * scipy_stats.t.sf(abs(mean - 0.5) / max(error, 1e-9), draws - 1)
    low, high = max(0.0, mean - reach), min(1.0, mean + reach)
    estimate = Estimate(mean, low, high, len(clean.cases), len(np.unique(groups[clean.cases])))
    return NullResult(estimate, float(p))


def alarms(nulls: Mapping[str, NullResult]) -> list[str]:
    """Names of the null controls whose AUC differs from 0.5, after Holm's correction."""
    rejected = holm([null.p for null in nulls.values()], SIGNIFICANCE)
    return [
        name
        for (name, null), differs in zip(nulls.items(), rejected, strict=True)
        if differs and abs(null.auc.value - 0.5) > AUC_TOLERANCE
    ]
