"""Transfer matrix: every detector fitted on every attack, scored on all attacks and controls."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectors import FittedDetector, Reference
from robust.detection.cross_fitting import (
    DetectionMetrics,
    FeatureSet,
    ScoredImages,
    StatisticSet,
    check_learns_nothing,
    check_positives,
    check_separate,
    cross_fit,
    detection_metrics,
)
from robust.detection.null_control import NullResult, alarms, null_control
from robust.detection.selection import explained_by_selection
from robust.metrics.by_group import ByGroup
from robust.metrics.groups import folds_by_group

UNFITTED = ""
"""Stands for the attack fitted on where a detector has no head."""

Key = tuple[str, str, str]
"""Detector, attack that its head was fitted on, scored image set."""


@dataclass(frozen=True)
class EvaluationData:
    """Reference and image sets of an evaluation; all image sets show cases of one population."""

    reference: Reference
    """What the detectors have learned from."""
    clean: FeatureSet
    attacks: Mapping[str, FeatureSet]
    """Successful images of each attack. Each set is read once, in order."""
    controls: Mapping[str, FeatureSet]
    """Noise and benign changes of the same cases, which are scored and never fitted on."""
    labels: npt.NDArray[np.int64]
    """`(n,)`, the true labels of the population."""
    groups: npt.NDArray[np.int64]
    """`(n,)`, its groups."""


@dataclass(frozen=True)
class TransferMatrix:
    """The metrics of every detector for every fitting and image set, with the null controls."""

    metrics: Mapping[Key, DetectionMetrics]
    null_controls: Mapping[tuple[str, str], NullResult]
    """By detector and attack fitted on."""
    alarms: tuple[tuple[str, str], ...]
    """Null controls with an alarm; the metrics of these detectors and attacks are void."""
    unfitted_reasons: Mapping[str, str]
    """Attacks that no head could be fitted on, and why."""
    explained: frozenset[Key]
    """Attacks whose AUC is explained by which cases fall, judged together."""
    scores: Mapping[Key, ScoredImages]
    """Image by image, for detectors without a head or fitted on `key_attack`."""


def evaluate_transfer(
    detectors: Mapping[str, FittedDetector],
    data: EvaluationData,
    seed: int = 0,
    *,
    fit_on: Collection[str] | None = None,
    key_attack: str = "",
    progress: Callable[[float, float, str], None] = lambda done, total, label: None,
) -> TransferMatrix:
    """Fit each detector on each attack (of `fit_on`) and score it on all attacks and controls.

    `detectors` have learned from `data.reference`. InputError, before any number is made, where a
    rule of the protocol is broken.
    """
    groups = data.groups
    folds = folds_by_group(groups, seed)
    check_separate(data.reference, data.clean, folds, groups)
    for detector in detectors.values():
        check_learns_nothing(detector, data.clean.features)
    images, reasons = _measure(detectors, data, folds)
    fitting = [n for n in data.attacks if n not in reasons and (fit_on is None or n in fit_on)]
    by_group = ByGroup(groups.tolist())
    metrics: dict[Key, DetectionMetrics] = {}
    nulls: dict[tuple[str, str], NullResult] = {}
    scores: dict[Key, ScoredImages] = {}
    for number, (label, detector) in enumerate(detectors.items()):
        clean, scored = data.clean.measure(detector), images[label]
        for place, attack in enumerate(fitting if detector.detector.has_head else [UNFITTED]):
            done = number + place / max(len(fitting), 1)
            progress(done, len(detectors), f"evaluating {label}")
            fitted_on = scored.get(attack, clean)
            for name, one in cross_fit(detector, clean, fitted_on, scored, folds).items():
                metrics[label, attack, name] = detection_metrics(one, by_group)
                if attack in (key_attack, UNFITTED):
                    scores[label, attack, name] = one
            null_seed = seed + 1000 * place
            nulls[label, attack] = null_control(detector, clean, groups, folds, null_seed)
    names = {f"{detector}\n{attack}": (detector, attack) for detector, attack in nulls}
    raised = alarms({name: nulls[pair] for name, pair in names.items()})
    alarmed = tuple(pair for name, pair in names.items() if name in raised)
    attacks = {
        key: found.auc
        for key, found in metrics.items()
        if key[2] in data.attacks and not found.too_few
    }
    judged = zip(attacks, explained_by_selection(list(attacks.values())), strict=True)
    explained = frozenset(key for key, is_explained in judged if is_explained)
    return TransferMatrix(metrics, nulls, alarmed, reasons, explained, scores)


def _measure(
    detectors: Mapping[str, FittedDetector], data: EvaluationData, folds: npt.NDArray[np.int64]
) -> tuple[dict[str, dict[str, StatisticSet]], dict[str, str]]:
    """By detector its statistics of every image set that is not empty; unfitted reasons."""
    found: dict[str, dict[str, StatisticSet]] = {label: {} for label in detectors}
    reasons: dict[str, str] = {}
    for name in (*data.attacks, *data.controls):
        images = data.attacks[name] if name in data.attacks else data.controls[name]
        if name in data.attacks:
            check_positives(images, data.labels, name)
            if reason := _unfitted_reason(images, folds):
                reasons[name] = reason
        if len(images.cases):
            for label, detector in detectors.items():
                found[label][name] = images.measure(detector)
    return found, reasons


def _unfitted_reason(images: FeatureSet, folds: npt.NDArray[np.int64]) -> str:
    """Why no head can be fitted on an attack, or an empty text."""
    if not len(images.cases):
        return "no attack succeeded"
    if any((folds[images.cases] != fold).sum() == 0 for fold in np.unique(folds)):
        return f"its {len(images.cases)} successes lie in one fold"
    return ""
