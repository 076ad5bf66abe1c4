"""Cross-fitting of detectors by group, and checks for leaks between what is learned and scored.

Statistics are learned from the reference (the training split) alone. Heads are fitted on the folds
that a case is not in, so every case is scored once, by a detector that has seen neither the case
nor its twin nor any image of its group. Positives are successful attacks on cases that are correct
when clean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from detectors import Detector, Features, FittedDetector, Reference
from robust.detection.feature_copies import copies_among, likeness
from robust.detection.selection import AttackAUC, attack_auc
from robust.errors import InputError
from robust.metrics.arrays import Array, Places
from robust.metrics.by_group import ByGroup
from robust.metrics.operating_point import GroupedScores, detection_rate
from robust.records import Estimate
from robust.records.estimate import TOO_FEW

MOST_NEARNESS = 0.9
"""Largest `Likeness.nearness` to the reference of images to be scored; 0.5: of other patients."""

MIN_SPREAD = float(np.finfo(np.float32).tiny ** 0.5)
"""Spread of clean scores below which they count as equal."""

FALSE_ALARM_RATES = (0.01, 0.05, 0.10)


@dataclass(frozen=True)
class FeatureSet:
    """Features of images of the population: the clean ones, or those of one attack or control."""

    features: Features
    cases: Places
    """`(n,)`: the case of each row, as an index into the population."""

    def take(self, mask: npt.NDArray[np.bool_]) -> FeatureSet:
        """The images where `mask (n,)` is true."""
        return FeatureSet(self.features.take(torch.from_numpy(mask)), self.cases[mask])

    def measure(self, detector: FittedDetector) -> StatisticSet:
        """The detector's statistics of these images."""
        return StatisticSet(detector.measure(self.features), self.cases)


@dataclass(frozen=True)
class StatisticSet:
    """One detector's statistics of an image set, which are all that its head may see."""

    statistics: Tensor
    """`(n, m)`."""
    cases: Places
    """`(n,)`, as in `FeatureSet`."""

    def take(self, mask: npt.NDArray[np.bool_]) -> StatisticSet:
        """The images where `mask (n,)` is true."""
        return StatisticSet(self.statistics[torch.from_numpy(mask)], self.cases[mask])


@dataclass(frozen=True)
class ScoredImages:
    """Scores of one detector on clean images and on the images of one attack or control."""

    clean: Array
    """`(n,)`, higher is more suspicious."""
    positive: Array
    """`(m,)`, scores of the attack or control."""
    clean_cases: Places
    """`(n,)`, as in `FeatureSet`."""
    positive_cases: Places
    """`(m,)`."""


def check_separate(reference: Reference, clean: FeatureSet, folds: Places, groups: Places) -> None:
    """InputError where a group or an image is in two folds, or an image is in the reference too.

    Images whose activations are equal in every layer count as the same image, and so do those that
    lie far nearer to each other than chance brings two images (`feature_copies`).
    """
    for group in np.unique(groups):
        if len(set(folds[groups == group].tolist())) > 1:
            raise InputError(
                f"group {group} lies in two folds; keep all images of a patient together"
            )
    known, rows = set(_fingerprints(reference.features)), _fingerprints(clean.features)
    shared = sum(row in known for row in rows)
    if shared:
        raise InputError(
            f"{shared} of {len(rows)} images to be scored are among the reference images; "
            f"the train and test splits must not share any"
        )
    fold_of: dict[bytes, int] = {}
    for row, case in zip(rows, clean.cases, strict=True):
        if fold_of.setdefault(row, int(folds[case])) != folds[case]:
            raise InputError("an image and its duplicate lie in two folds; remove the duplicates")
    _check_no_near_copies(reference, clean, folds, groups)


def _check_no_near_copies(
    reference: Reference, clean: FeatureSet, folds: Places, groups: Places
) -> None:
    like = likeness(clean.features, reference)
    if like.copies:
        raise InputError(
            f"{len(like.copies)} of {len(clean.cases)} images to be scored are near copies of "
            f"reference images; the train and test splits must not share any"
        )
    if like.nearness > MOST_NEARNESS:
        raise InputError(
            f"the images to be scored lie nearer to the reference than its own images to each "
            f"other (AUC of the distances {like.nearness:.2f}): they were derived from them, and a "
            f"detector would know them; name another reference"
        )
    pairs = copies_among(clean.features, groups[clean.cases])
    if any(folds[clean.cases[a]] != folds[clean.cases[b]] for a, b in pairs):
        raise InputError("an image and its near copy lie in two folds; put them into one group")


def check_positives(images: FeatureSet, labels: npt.NDArray[np.int64], name: str) -> None:
    """InputError where an image that is still classified correctly counts as attacked.

    `labels` are the true ones of the population.
    """
    predicted = images.features.logits.argmax(1).cpu().numpy()
    right = int((predicted == labels[images.cases]).sum())
    if right:
        raise InputError(
            f"{right} of {len(images.cases)} positives of {name} are classified correctly: a "
            f"failed attack is nothing to detect; keep only the successes"
        )


def check_learns_nothing(detector: FittedDetector, features: Features) -> None:
    """InputError where the statistics of an image depend on the other images that are scored.

    A scaler that is fitted while scoring does that.
    """
    half = _first_half(len(features))
    whole, part = detector.measure(features), detector.measure(features.take(half))
    _check_same(detector.detector, whole[half], part)


@dataclass(frozen=True)
class FoldDetector:
    """A detector for the cases of one fold, its scores on the scale of all folds."""

    fitted: FittedDetector
    """Its head, where it has one, has seen no case of the fold."""
    centre: float
    scale: float

    @property
    def detector(self) -> Detector:
        """The detector without its fitted state."""
        return self.fitted.detector

    def scores(self, images: StatisticSet) -> Array:
        """Scores `(n,)`, each image by itself."""
        return (_scores(self.fitted, images) - self.centre) / self.scale

    def suspicion(self, features: Features) -> Tensor:
        """Scores `(n,)`, differentiable where the detector is; NaN counts as infinite."""
        found = (self.fitted.score(features) - self.centre) / self.scale
        return torch.where(found.isnan(), torch.inf, found)


def cross_fit(
    detector: FittedDetector,
    clean: StatisticSet,
    fitting: StatisticSet,
    scored: Mapping[str, StatisticSet],
    folds: Places,
) -> dict[str, ScoredImages]:
    """Fit the head on the attack `fitting`; score clean images and every image set in `scored`.

    Heads of different folds are made comparable: scores of a fold are measured from the median of
    its clean images, in units of their interquartile range. A detector without a head gives its
    scores as they are.
    """
    fitted = fit_folds(detector, clean, fitting, folds)
    clean_scores = score_folds(fitted, clean, folds)
    return {
        name: ScoredImages(
            clean_scores, score_folds(fitted, images, folds), clean.cases, images.cases
        )
        for name, images in scored.items()
    }


def fit_folds(
    detector: FittedDetector, clean: StatisticSet, fitting: StatisticSet, folds: Places
) -> list[FoldDetector]:
    """For each fold the detector with a head fitted on the others; see `cross_fit`."""
    every = range(int(folds.max()) + 1)
    return [_fit_without(fold, detector, clean, fitting, folds) for fold in every]


def score_folds(fitted: Sequence[FoldDetector], images: StatisticSet, folds: Places) -> Array:
    """Scores `(n,)` of an image set, each image by the detector that has not seen its fold."""
    found = np.full(len(images.cases), np.nan)
    for fold, one in enumerate(fitted):
        in_fold = folds[images.cases] == fold
        if in_fold.any():
            found[in_fold] = one.scores(images.take(in_fold))
    return found


def _fit_without(
    fold: int, detector: FittedDetector, clean: StatisticSet, fitting: StatisticSet, folds: Places
) -> FoldDetector:
    if not detector.detector.has_head:
        return FoldDetector(detector, 0.0, 1.0)
    own = clean.take(folds[clean.cases] == fold)
    others = (images.take(folds[images.cases] != fold) for images in (clean, fitting))
    fitted = detector.with_head(*(images.statistics for images in others))
    clean_scores = _scores(fitted, own)
    half = _first_half(len(own.cases))
    again = fitted.combine(own.statistics[half])
    _check_same(fitted.detector, torch.from_numpy(clean_scores)[half], again)
    centre = float(np.median(clean_scores))
    spread = float(np.subtract(*np.quantile(clean_scores, [0.75, 0.25])))
    # A kernel that reaches no image leaves denormal numbers: divided by those, others are infinite.
    scale = spread if spread > MIN_SPREAD else 1.0
    return FoldDetector(fitted, centre, scale)


@dataclass(frozen=True)
class DetectionMetrics:
    """How well a detector's scores separate one image set from clean images."""

    auc: AttackAUC
    """Against all clean images, paired, and the selection control."""
    detection_rates: Mapping[float, Estimate | None]
    """By false-alarm rate, the share of positives above the threshold, which is a quantile of the
    clean images alone; None without a positive, or with too few clean groups for that rate."""
    positives: int

    @property
    def too_few(self) -> bool:
        """Whether there are too few positives for a verdict."""
        return self.positives < TOO_FEW


def detection_metrics(scored: ScoredImages, by_group: ByGroup) -> DetectionMetrics:
    """AUCs and detection rates, with intervals by group; a case and its twin are in one group.

    `by_group` is that of the population.
    """
    clean = GroupedScores(scored.clean, by_group.codes[scored.clean_cases])
    positive = GroupedScores(scored.positive, by_group.codes[scored.positive_cases])
    rates = {rate: detection_rate(clean, positive, rate) for rate in FALSE_ALARM_RATES}
    cases = scored.clean_cases, scored.positive_cases
    area = attack_auc(scored.clean, scored.positive, *cases, by_group)
    return DetectionMetrics(area, rates, len(scored.positive))


def _scores(detector: FittedDetector, images: StatisticSet) -> Array:
    with torch.no_grad():
        found: Array = detector.combine(images.statistics).double().cpu().numpy()
    return found


def _fingerprints(features: Features) -> list[bytes]:
    """The activations of each image as bytes, equal for copies of an image."""
    every = torch.cat([features.logits, *features.layers.values()], 1)
    return [row.tobytes() for row in every.cpu().numpy()]


def _first_half(count: int) -> Tensor:
    return torch.arange(count) < max(1, count // 2)


def _check_same(detector: Detector, whole: Tensor, part: Tensor) -> None:
    if not torch.allclose(whole.double(), part.double(), rtol=1e-3, atol=1e-5):
        raise InputError(
            f"{type(detector).__name__} scores an image differently beside other images: it "
            f"learns from what it scores, so none of its figures can be trusted"
        )
