"""How a detector is judged so that its number can be believed: folds by group, leaks refused.

Statistics come from the reference (Train) alone. Heads are fitted on the folds that a case is not
in, so that every case is scored once, by a detector that has seen neither it nor its twin nor any
image of its group. Positives are successful attacks on cases that are right when clean.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from detectors import Detector, Features, Reference
from robust.errors import InputError
from robust.metrics.bootstrap import Bootstrap
from robust.metrics.groups import Places
from robust.records import Estimate

Array = npt.NDArray[np.float64]

FALSE_ALARMS = (0.01, 0.05, 0.10)
FEW = 30
"""Positives below which a cell carries no verdict."""


@dataclass(frozen=True)
class FeatureSet:
    """Images of cases that are right when clean: the clean ones, or those one attack changed."""

    features: Features
    cases: Places
    """`(n,)`: which case each row shows, as a place in the population."""

    def take(self, kept: npt.NDArray[np.bool_]) -> FeatureSet:
        return FeatureSet(self.features.take(torch.from_numpy(kept)), self.cases[kept])

    def measured(self, detector: Detector) -> StatisticSet:
        """By a detector that has learned from the reference."""
        with torch.no_grad():
            return StatisticSet(detector.statistics(self.features), self.cases)


@dataclass(frozen=True)
class StatisticSet:
    """A side as one detector's statistics of it, which is all that its head may see."""

    statistics: Tensor
    """`(n, m)`."""
    cases: Places

    def take(self, kept: npt.NDArray[np.bool_]) -> StatisticSet:
        return StatisticSet(self.statistics[torch.from_numpy(kept)], self.cases[kept])


@dataclass(frozen=True)
class Scored:
    """One detector, fitted on one attack, on the images of one attack."""

    clean: Array
    positive: Array
    clean_cases: Places
    positive_cases: Places


def successes(features: Features, labels: npt.NDArray[np.int64], cases: Places) -> FeatureSet:
    """The rows that the classifier reads wrongly: a failed attack is no positive.

    `labels` are the true ones of the population, which the cases index.
    """
    wrong = features.logits.argmax(1).cpu().numpy() != labels[cases]
    return FeatureSet(features, cases).take(wrong)


def check_separate(reference: Reference, clean: FeatureSet, folds: Places, groups: Places) -> None:
    """InputError where an image is on two sides: in the reference, or in two folds, or its group.

    Equal activations in every layer, to the last bit, are taken for the same image.
    """
    for group in np.unique(groups):
        if len(set(folds[groups == group].tolist())) > 1:
            raise InputError(
                f"group {group} lies in two folds; keep all images of a patient together"
            )
    known, rows = set(_prints(reference.features)), _prints(clean.features)
    shared = sum(row in known for row in rows)
    if shared:
        raise InputError(
            f"{shared} of {len(rows)} images to be scored are among the reference images; "
            f"the train and test splits must not share any"
        )
    seen: dict[bytes, int] = {}
    for row, case in zip(rows, clean.cases, strict=True):
        if seen.setdefault(row, int(folds[case])) != folds[case]:
            raise InputError("an image and its duplicate lie in two folds; remove the duplicates")


def check_positives(side: FeatureSet, labels: npt.NDArray[np.int64], name: str) -> None:
    """InputError where an image that is still read correctly counts as attacked."""
    right = int((side.features.logits.argmax(1).cpu().numpy() == labels[side.cases]).sum())
    if right:
        raise InputError(
            f"{right} of {len(side.cases)} positives of {name} are read correctly: a failed attack "
            f"is nothing to detect; keep the successes alone"
        )


def check_learns_nothing(detector: Detector, features: Features) -> None:
    """InputError where what is measured of an image depends on what else is scored (a scaler fitted
    while scoring).
    """
    half = _first_half(len(features))
    with torch.no_grad():
        whole, part = detector.statistics(features), detector.statistics(features.take(half))
    _same(detector, whole[half], part)


def cross_fit(
    detector: Detector,
    clean: StatisticSet,
    fitting: StatisticSet,
    scored: Mapping[str, StatisticSet],
    folds: Places,
) -> dict[str, Scored]:
    """Fit the head on the attack `fitting`, score clean images and every attack in `scored`.

    `detector` has learned from the reference. Scores of a fold are measured from the median of its
    clean images, in units of their quartiles, so that the heads of different folds can be read on
    one scale: from clean images alone. A detector without a head gives its scores as they are.
    """
    fitted = fit_folds(detector, clean, fitting, folds)
    clean_scores = score_folds(fitted, clean, folds)
    return {
        name: Scored(clean_scores, score_folds(fitted, side, folds), clean.cases, side.cases)
        for name, side in scored.items()
    }


@dataclass(frozen=True)
class FittedDetector:
    """A detector as the cases of one fold meet it, on the scale of all folds."""

    detector: Detector
    """With a head that has seen no case of the fold, where it has one."""
    centre: float
    unit: float

    def score(self, statistics: Tensor) -> Tensor:
        """`(n, m)` to `(n,)`, differentiable where the detector is."""
        return (self.detector.combine(statistics) - self.centre) / self.unit

    def scores(self, side: StatisticSet) -> Array:
        """The same of a side, each image by itself."""
        return (_scores(self.detector, side) - self.centre) / self.unit


def fit_folds(
    detector: Detector, clean: StatisticSet, fitting: StatisticSet, folds: Places
) -> list[FittedDetector]:
    """For each fold the detector with a head fitted on the others; see `cross_fit`."""
    every = range(int(folds.max()) + 1)
    return [_fit_without(fold, detector, clean, fitting, folds) for fold in every]


def score_folds(fitted: Sequence[FittedDetector], side: StatisticSet, folds: Places) -> Array:
    """Each image of a side by the detector that has not seen its fold: `(n,)`."""
    found = np.full(len(side.cases), np.nan)
    for fold, one in enumerate(fitted):
        mine = folds[side.cases] == fold
        if mine.any():
            found[mine] = one.scores(side.take(mine))
    return found


def _fit_without(
    fold: int, detector: Detector, clean: StatisticSet, fitting: StatisticSet, folds: Places
) -> FittedDetector:
    fitted = copy.copy(detector)
    if not detector.has_head:
        return FittedDetector(fitted, 0.0, 1.0)
    own = clean.take(folds[clean.cases] == fold)
    others = (side.take(folds[side.cases] != fold) for side in (clean, fitting))
    fitted.calibrate(*(side.statistics for side in others))
    middle = _scores(fitted, own)
    half = _first_half(len(own.cases))
    _same(fitted, torch.from_numpy(middle)[half], fitted.combine(own.statistics[half]))
    centre = float(np.median(middle))
    return FittedDetector(
        fitted, centre, float(np.subtract(*np.quantile(middle, [0.75, 0.25]))) or 1.0
    )


@dataclass(frozen=True)
class DetectionMetrics:
    """What a detector's scores are worth against one attack."""

    auc: Estimate | None
    """Clean against attacked; None without a positive."""
    seen: Mapping[float, Estimate | None]
    """By share of false alarms: the share of attacked images above the threshold, which is the
    quantile of the clean images alone."""
    positives: int

    @property
    def few(self) -> bool:
        """Too few positives for a verdict."""
        return self.positives < FEW


def detection_metrics(scored: Scored, bootstrap: Bootstrap) -> DetectionMetrics:
    """Intervals are a bootstrap over groups, a case and its twin in one; `bootstrap` is that of
    the population.
    """
    scores = np.concatenate([scored.clean, scored.positive])
    attacked = np.arange(len(scores)) >= len(scored.clean)
    own = bootstrap.at(np.concatenate([scored.clean_cases, scored.positive_cases]))
    thresholds = [threshold(scored.clean, share) for share in FALSE_ALARMS]
    rates = own.rates([(scores > limit, attacked) for limit in thresholds])
    area = own.auc(scores, attacked, np.ones(len(scores), bool)) if attacked.any() else None
    return DetectionMetrics(area, dict(zip(FALSE_ALARMS, rates, strict=True)), int(attacked.sum()))


def threshold(clean: Array, share: float) -> float:
    """The score that at most this share of the clean images exceeds."""
    return float(np.quantile(clean, 1 - share, method="higher"))


def _scores(detector: Detector, side: StatisticSet) -> Array:
    with torch.no_grad():
        return detector.combine(side.statistics).double().cpu().numpy()  # type: ignore[no-any-return]


def _prints(features: Features) -> list[bytes]:
    """What tells one image from another."""
    every = torch.cat([features.logits, *features.layers.values()], 1)
    return [row.tobytes() for row in every.cpu().numpy()]


def _first_half(count: int) -> Tensor:
    return torch.arange(count) < max(1, count // 2)


def _same(detector: Detector, whole: Tensor, part: Tensor) -> None:
    if not torch.allclose(whole.double(), part.double(), rtol=1e-3, atol=1e-5):
        raise InputError(
            f"{type(detector).__name__} scores an image differently in other company: it learns "
            f"from what it scores, and no number of it can be believed"
        )
