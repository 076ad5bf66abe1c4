"""The transfer matrix: every detector fitted on every attack, scored on all, with its controls."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectors import Detector, Reference
from robust.detection.cross_fitting import (
    DetectionMetrics,
    FeatureSet,
    Scored,
    StatisticSet,
    check_learns_nothing,
    check_positives,
    check_separate,
    cross_fit,
    detection_metrics,
)
from robust.detection.null_control import NullResult, alarms, null_control
from robust.metrics.bootstrap import Bootstrap
from robust.metrics.groups import folds_by_group

UNFITTED = ""
"""Where a detector has no head to fit on an attack."""

Key = tuple[str, str, str]


@dataclass(frozen=True)
class TransferMatrix:
    """What detectors are worth. Keys are (detector, attack fitted on, attack scored)."""

    cells: Mapping[Key, DetectionMetrics]
    nulls: Mapping[tuple[str, str], NullResult]
    """(detector, attack fitted on)."""
    alarms: tuple[tuple[str, str], ...]
    """Null controls that found something where there is nothing: the figures are not to be
    believed."""
    empty: Mapping[str, str]
    """Attacks that nothing could be fitted on, and why."""
    scores: Mapping[Key, Scored]
    """Image by image, where a detector was fitted on the attack named in `keep`."""


def evaluate_transfer(
    detectors: Mapping[str, Detector],
    reference: Reference,
    clean: FeatureSet,
    attacks: Mapping[str, FeatureSet],
    controls: Mapping[str, FeatureSet],
    labels: npt.NDArray[np.int64],
    groups: npt.NDArray[np.int64],
    seed: int = 0,
    *,
    fit_on: Collection[str] | None = None,
    keep: str = "",
    progress: Callable[[float, float, str], None] = lambda done, total, label: None,
) -> TransferMatrix:
    """Fit each detector on each attack (of `fit_on`) and score it on all attacks and controls.

    `clean` and `attacks` (successes alone) show cases of one population, whose `labels` and
    `groups` are `(n,)`; `controls` are noise and harmless changes of the same cases, scored and
    never fitted on. Sides are asked for once, one after the other: a mapping may read them from
    disk. Every rule of the protocol is checked before a number is made. InputError for a rule that
    is broken.
    """
    folds = folds_by_group(groups, seed)
    check_separate(reference, clean, folds, groups)
    learned = {name: _learn(one, reference, clean) for name, one in detectors.items()}
    sides: dict[str, dict[str, StatisticSet]] = {name: {} for name in detectors}
    empty: dict[str, str] = {}
    for name in (*attacks, *controls):
        side = attacks[name] if name in attacks else controls[name]
        if name in attacks:
            check_positives(side, labels, name)
            if why := _unfit(side, folds):
                empty[name] = why
        if len(side.cases):
            for label, detector in learned.items():
                sides[label][name] = side.measured(detector)
    fitting = [n for n in attacks if n not in empty and (fit_on is None or n in fit_on)]
    bootstrap = Bootstrap(groups.tolist(), seed=seed)
    cells: dict[Key, DetectionMetrics] = {}
    nulls: dict[tuple[str, str], NullResult] = {}
    kept: dict[Key, Scored] = {}
    for number, (label, detector) in enumerate(learned.items()):
        own = clean.measured(detector)
        for place, attack in enumerate(fitting if detector.has_head else [UNFITTED]):
            progress(number + place / max(len(fitting), 1), len(learned), f"judging {label}")
            shown = sides[label]
            fitted = shown.get(attack, own)
            for name, one in cross_fit(detector, own, fitted, shown, folds).items():
                cells[label, attack, name] = detection_metrics(one, bootstrap)
                if attack in (keep, UNFITTED):
                    kept[label, attack, name] = one
            nulls[label, attack] = null_control(detector, own, groups, folds, seed + 1000 * place)
    loud = alarms({f"{a}\n{b}": null for (a, b), null in nulls.items()})
    found = tuple(pair for pair in nulls if "\n".join(pair) in loud)
    return TransferMatrix(cells, nulls, found, empty, kept)


def _learn(detector: Detector, reference: Reference, clean: FeatureSet) -> Detector:
    """A copy that has learned from the reference, and is seen to learn from nothing else."""
    own = copy.copy(detector)
    own.learned = own.learn(reference)
    check_learns_nothing(own, clean.features)
    return own


def _unfit(side: FeatureSet, folds: npt.NDArray[np.int64]) -> str:
    """Why no detector can be fitted on an attack, or nothing."""
    if not len(side.cases):
        return "no attack succeeded"
    if any((folds[side.cases] != fold).sum() == 0 for fold in np.unique(folds)):
        return f"its {len(side.cases)} successes lie in one fold"
    return ""
