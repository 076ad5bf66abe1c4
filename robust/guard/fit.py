"""Fits a detector for use: statistics, head and threshold, each from images of its own.

Statistics come from the reference split. Three fifths of the patients of the calibration split are
for the head, with attacks that succeeded on them; the others, clean, set the threshold. A head
gives fewer false alarms on images that it was fitted on, so these must not set the threshold.
"""

from __future__ import annotations

import importlib.metadata
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from detectors import Detector, FeatureReader, Features, FittedDetector
from robust.cases import Cases
from robust.engine.batch import first_images
from robust.engine.inputs import open_plan, tell_notes
from robust.errors import InputError, first_line
from robust.guard.artifact import (
    ClassifierFingerprint,
    FalseAlarmCount,
    FalseAlarmRate,
    GuardArtifact,
    Record,
    TrainingAttack,
    as_stored,
    check_free,
    name_of,
    probe_image,
)
from robust.guard.calibration import (
    CalibrationFeatures,
    ReferenceFit,
    fit_reference,
    read_calibration,
)
from robust.guard.fit_inputs import FitInputs, cell_text, on_split, open_inputs
from robust.guard.separation import HeldOut, separation
from robust.metrics.arrays import Array, Places
from robust.metrics.by_group import ByGroup
from robust.metrics.groups import folds_by_group, group_codes
from robust.metrics.operating_point import (
    GroupedScores,
    conformal_threshold,
    known_false_alarms,
)
from robust.models import Classifier, choose_device, full_precision, prepare, weights_hash
from robust.models.gradients.backward import backward_errors
from robust.models.gradients.gradient_free import require_fitting_attacks, require_network
from robust.models.preparation import image_template, require_classifier
from robust.plan.parameters import parameters_of
from robust.plan.spec import Plan
from robust.progress import Progress

FOLDS, HEAD_FOLDS = 5, 3
"""Number of folds of the calibration split, and how many of them fit the head."""


@dataclass(frozen=True)
class _Calibration:
    """The calibration images, divided by group into those for the head and those held out."""

    features: CalibrationFeatures
    folds: Places
    """`(n,)`: the fold of every case of the split."""
    groups: Places
    """`(n,)`: the group of every case of the split."""

    def clean(self, mask: npt.NDArray[np.bool_]) -> Features:
        """The clean images where `mask (n,)` is true."""
        return self.features.clean.take(torch.from_numpy(mask))

    @property
    def for_head(self) -> npt.NDArray[np.bool_]:
        """`(n,)`, which clean images are for the head, correct or not."""
        return self.folds[self.features.places] < HEAD_FOLDS

    @property
    def attacked_for_head(self) -> npt.NDArray[np.bool_]:
        """Which attacked images are for the head."""
        return self.folds[self.features.attacked_places] < HEAD_FOLDS


def fit_detector(
    plan: Plan,
    detector: str | Detector,
    *,
    attack: str | None = None,
    eps: str | float | None = None,
    false_alarms: float = 0.05,
    split: str = "val",
    out: str | Path | None = None,
    device: str = "auto",
    progress: Progress = lambda done, total, label: None,
) -> GuardArtifact:
    """Fit one detector to a plan's classifier, for `Guard`; with `out` it is saved in that folder.

    `detector` and `attack` are names; where the plan has a table for one, its fields count. `eps`
    is in [0, 1] units; without it the plan must leave one alone. Without an attack the detector
    has no head. `false_alarms` is the share of clean images that may be flagged, correctly
    classified or not. Raises InputError.
    """
    if not 0 < false_alarms < 1:
        raise InputError(f"false alarms must lie between 0 and 1, not {false_alarms}; write 0.05")
    if out is not None:
        check_free(out)
    inputs = open_inputs(plan, detector, attack, eps, split)
    if inputs.calibration.outlines is not None:
        raise InputError(
            "a detector reads what a classifier answers, and the data have masks; name the label "
            "column: label = ... in [data]"
        )
    groups = group_codes([entry.group for entry in inputs.calibration.entries])
    folds = _folds(groups, inputs.calibration.split, plan.audit.seed)
    classifier = require_classifier(open_plan(on_split(plan, split), device)[0])
    require_network(classifier)
    if inputs.cell is not None:
        require_fitting_attacks(classifier, [(inputs.cell.label, inputs.cell.attack)])
    tell_notes(classifier)
    with full_precision(), backward_errors(), torch.no_grad():
        images = first_images(inputs.reference, range(len(inputs.reference)), plan.audit.chunk)
        ready = prepare(classifier, choose_device(device), images=images)
        learned = fit_reference(inputs, ready, progress)
        reader = FeatureReader(
            learned.extract,
            [learned.fitted],
            dropout_passes=plan.detection.passes,
            seed=plan.audit.seed,
        )
        features = read_calibration(inputs, ready, reader, learned.fingerprints, progress)
        calibration = _Calibration(features, folds, groups)
        fitted = _fit_head(inputs, learned.fitted, calibration)
        record = _record(inputs, ready, learned, fitted, calibration, false_alarms)
    artifact = GuardArtifact(record, fitted)
    if out is not None:
        artifact.save(out)
    return artifact


def _folds(groups: Places, split: str, seed: int) -> Places:
    try:
        return folds_by_group(groups, seed, FOLDS)
    except InputError:
        raise InputError(
            f"{split} has {len(set(groups.tolist()))} groups; {FOLDS} or more are needed to keep "
            f"those that fit the head from those that set the threshold"
        ) from None


def _fit_head(
    inputs: FitInputs, fitted: FittedDetector, calibration: _Calibration
) -> FittedDetector:
    """With a head, where there is an attack and the detector has one."""
    cell, features = inputs.cell, calibration.features
    if cell is None or not fitted.detector.has_head:
        return fitted
    attacked = torch.from_numpy(calibration.attacked_for_head)
    if features.adversarial is None or not attacked.any():
        why = f" ({features.failure})" if features.failure else ""
        raise InputError(
            f"{cell_text(cell)} fooled the classifier on none of the images of "
            f"{inputs.calibration.split} that {inputs.label} could learn from, of "
            f"{features.attempts} attacked in all{why}: nothing to learn from; raise --eps or take "
            f"a stronger attack"
        )
    clean = calibration.clean(calibration.for_head & features.correct)
    try:
        with_head = fitted.with_head(
            fitted.statistics(clean), fitted.statistics(features.adversarial.take(attacked))
        )
    except (ValueError, RuntimeError) as error:
        raise InputError(f"detector {inputs.label}: {first_line(error)}") from None
    return replace(with_head, head=as_stored(with_head.head or {}))


def _record(
    inputs: FitInputs,
    ready: Classifier,
    learned: ReferenceFit,
    fitted: FittedDetector,
    calibration: _Calibration,
    false_alarms: float,
) -> Record:
    """Set the threshold, measure the detection rate, and describe the fit."""
    plan, cases, places = inputs.plan, inputs.calibration, calibration.features.places
    # A head has seen the images that it was fitted on; without one all images are new.
    kept = np.ones(len(places), bool) if fitted.head is None else ~calibration.for_head
    scores = _scores(fitted, calibration.clean(kept))
    clean = GroupedScores(scores, calibration.groups[places[kept]])
    threshold = _threshold(inputs.label, clean, false_alarms, cases)
    known = known_false_alarms(clean, threshold)
    low, high = known.interval
    return Record(
        name=name_of(inputs.detector),
        label=inputs.label,
        fields=parameters_of(inputs.detector),
        layers=learned.extract.layers,
        dropout_passes=plan.detection.passes,
        seed=plan.audit.seed,
        threshold=threshold,
        false_alarms=FalseAlarmRate(
            requested=false_alarms,
            measured=float((scores > threshold).mean()),
            low=low,
            high=high,
            counted=FalseAlarmCount(**asdict(known)),
            split=cases.split,
            images=len(scores),
            groups=len(set(clean.groups.tolist())),
        ),
        training_attack=_held_out_detection_rate(inputs, fitted, calibration, scores, threshold),
        reference=inputs.reference.split,
        reference_images=len(inputs.reference),
        left_out=calibration.features.copies,
        size=cases.size,
        grey=cases.grey,
        depth=cases.depth,
        window=None if plan.data is None else plan.data.window,
        classifier=_fingerprint(inputs, ready, learned.image_shape),
        robust_version=importlib.metadata.version("robust-audit"),
    )


def _threshold(label: str, clean: GroupedScores, share: float, cases: Cases) -> float:
    threshold = conformal_threshold(clean, share)
    if not math.isfinite(threshold):
        raise InputError(
            f"{label} gives more than {share:.3g} of the clean images of {cases.split} an infinite "
            f"score or none; change its fields, or give more reference images"
        )
    return threshold


def _held_out_detection_rate(
    inputs: FitInputs,
    fitted: FittedDetector,
    calibration: _Calibration,
    clean: Array,
    threshold: float,
) -> TrainingAttack | None:
    """The attack of the fit, with the share of held-out attacked images that are flagged."""
    cell, features = inputs.cell, calibration.features
    if cell is None:
        return None
    for_head = calibration.attacked_for_head & (fitted.head is not None)
    held_out = flagged = 0
    scores = np.zeros(0)
    share = None
    if features.adversarial is not None:
        held_out = int((~for_head).sum())
        scores = _scores(fitted, features.adversarial.take(torch.from_numpy(~for_head)))
        seen = scores > threshold
        flagged = int(seen.sum())
        groups = calibration.groups[features.attacked_places[~for_head]]
        share = ByGroup(groups.tolist()).rate(seen)
        if held_out and len(np.unique(np.concatenate([clean, scores]))) == 1:
            raise InputError(
                f"{inputs.label} gives every image the same score, clean or attacked: it could "
                f"flag none; change its fields or layers, or take another detector"
            )
    return TrainingAttack(
        attack=cell.label,
        fields=parameters_of(cell.attack),
        norm=cell.threat.norm,
        eps=cell.eps,
        fitted_on=int(for_head.sum()),
        held_out=held_out,
        held_out_flagged=flagged,
        held_out_low=None if share is None else share.low,
        held_out_high=None if share is None else share.high,
        **vars(separation(_held_out(inputs, fitted, calibration, scores, ~for_head), threshold)),
    )


def _held_out(
    inputs: FitInputs,
    fitted: FittedDetector,
    calibration: _Calibration,
    attacked: Array,
    chosen: npt.NDArray[np.bool_],
) -> HeldOut:
    """Beside the scores of the `chosen` attacked images those of all cases that could have fallen.

    These are held out, classified correctly, and eligible for the goal of the attack.
    """
    features, entries = calibration.features, inputs.calibration.entries
    labels = torch.tensor([entries[place].label for place in features.places])
    possible = features.correct & inputs.task.applies(labels).numpy()
    if fitted.head is not None:
        possible &= ~calibration.for_head
    return HeldOut(
        clean=_scores(fitted, calibration.clean(possible)),
        attacked=attacked,
        clean_places=features.places[possible],
        attacked_places=features.attacked_places[chosen],
        groups=calibration.groups,
    )


def _scores(fitted: FittedDetector, features: Features) -> Array:
    if not len(features):
        return np.zeros(0)
    scores: Array = fitted.score(features).double().numpy()
    # The guard flags an image without a score, so that here it counts as the highest.
    return np.where(np.isnan(scores), np.inf, scores)


def _fingerprint(
    inputs: FitInputs, ready: Classifier, shape: tuple[int, int, int]
) -> ClassifierFingerprint:
    model = inputs.plan.model
    assert model is not None  # open_plan checks
    logits = ready(probe_image(shape).to(image_template(ready)))
    return ClassifierFingerprint(
        weights_sha256=weights_hash(ready),
        description=ready.describe(),
        classes=inputs.calibration.classes,
        image_shape=shape,
        probe_logits=tuple(logits[0].double().tolist()),
        # A trained folder sets its head itself, and says so of any other.
        model=model if model.folder else model.model_copy(update={"head": ready.head}),
    )
