"""The null control: whatever finds attacks among clean images alone is not to be believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats as scipy_stats

from detectors import Detector
from robust.detection.cross_fitting import StatisticSet, cross_fit
from robust.errors import InputError
from robust.metrics.bootstrap import auc
from robust.metrics.groups import Places, half_of_the_groups
from robust.records import Estimate

DRAWS = 8
"""Of who plays the attacked in a null control."""

FAR, LEVEL = 0.03, 0.01
"""A null control alarms where its AUC is further than this from 0.5, at this level (Holm)."""


@dataclass(frozen=True)
class NullResult:
    """The whole protocol on clean images, half of whose groups play the attacked ones."""

    auc: Estimate
    """Mean over draws of who plays, with the 95 % interval of that mean."""
    p: float
    """Two-sided, of a mean this far from 0.5 (t test over the draws)."""


def null_control(
    detector: Detector,
    clean: StatisticSet,
    groups: npt.NDArray[np.int64],
    folds: Places,
    seed: int,
    draws: int = DRAWS,
) -> NullResult:
    """Whatever a detector finds here is no attack: its AUC should be 0.5.

    A head that is fitted on noise points somewhere, the same way in every fold, so that a single
    AUC strays further from 0.5 than its bootstrap says. Who plays is therefore drawn several times;
    given the images the draws are independent, and their own spread is the measure.
    """
    found = []
    for draw in range(draws):
        play = half_of_the_groups(groups, folds, seed + draw)[clean.cases]
        sides = clean.take(~play), clean.take(play)
        if not play.any() or play.all():
            raise InputError("the null control needs two groups in a fold; audit more cases")
        (scored,) = cross_fit(detector, *sides, {"null": sides[1]}, folds).values()
        scores = np.concatenate([scored.clean, scored.positive])
        found.append(float(auc(scores, np.arange(len(scores)) >= len(scored.clean))[0]))
    mean, error = float(np.mean(found)), float(np.std(found, ddof=1)) / np.sqrt(draws)
    reach = float(scipy_stats.t.ppf(0.975, draws - 1)) * error
    p = 2 * scipy_stats.t.sf(abs(mean - 0.5) / max(error, 1e-9), draws - 1)
    low, high = max(0.0, mean - reach), min(1.0, mean + reach)
    estimate = Estimate(mean, low, high, len(clean.cases), len(np.unique(groups[clean.cases])))
    return NullResult(estimate, float(p))


def alarms(nulls: Mapping[str, NullResult]) -> list[str]:
    """The controls that found something where there is nothing, after Holm's correction."""
    found = []
    for rank, (name, null) in enumerate(sorted(nulls.items(), key=lambda item: item[1].p)):
        if null.p > LEVEL / (len(nulls) - rank):
            break
        if abs(null.auc.value - 0.5) > FAR:
            found.append(name)
    return found
