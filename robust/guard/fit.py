"""A detector fitted for use: statistics, head and threshold, each from images of its own.

Statistics come from the reference split. Of the calibration split three fifths of the patients
teach the head, with attacks that succeeded on them; the others, clean, set the threshold: a head
knows the images that it was fitted on, and would promise fewer false alarms than it raises.
"""

from __future__ import annotations

import importlib.metadata
import math
from pathlib import Path

import numpy as np
import torch

from detectors import Detector, Features
from robust.cases import Cases
from robust.detection.cross_fitting import Array
from robust.engine.cells import Cell
from robust.engine.goal import goal_of
from robust.engine.inputs import open_plan
from robust.engine.runner import Progress
from robust.errors import InputError, first_line
from robust.guard.artifact import (
    Owner,
    Promise,
    Record,
    StoredDetector,
    Teaching,
    check_free,
    fields_of,
    pattern,
    settle,
)
from robust.guard.calibration import Reader, Seen
from robust.guard.fit_inputs import cell_of, detector_of, on_split, open_splits, said
from robust.metrics.groups import Places, folds_by_group
from robust.models import Classifier, choose_device, full_precision, prepare, weights_hash
from robust.models.prepare import like
from robust.plan.spec import Plan

FOLDS, TEACHING_FOLDS = 5, 3


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
) -> StoredDetector:
    """Fit one detector to a plan's classifier, for `Guard`; with `out` it is stored in that folder.

    `detector` and `attack` are names; where the plan has a table for one, its fields count. `eps`
    is in [0, 1] units; without it the plan must leave one alone. Without an attack a detector is
    its statistics alone. `false_alarms` is the share of clean images that may be flagged, whether
    they are read correctly or not. Raises InputError.
    """
    if not 0 < false_alarms < 1:
        raise InputError(f"false alarms must lie between 0 and 1, not {false_alarms}; write 0.05")
    label, name, made = detector_of(plan, detector)
    if made.needs_pairs and attack is None:
        raise InputError(f"{label} learns from attacked images: name an attack and its eps")
    if eps is not None and attack is None:
        raise InputError("an eps is that of an attack; name the attack, or leave eps out")
    if out is not None:
        check_free(out)
    reference, calibration = open_splits(plan, split)
    cell = None if attack is None else cell_of(plan, attack, eps, len(calibration.classes))
    goal = goal_of(plan.audit, calibration)
    folds = _folds(calibration, plan.audit.seed)
    classifier, _ = open_plan(on_split(plan, split), device)
    reader = Reader(plan, prepare(classifier, choose_device(device)), progress)
    with full_precision(), torch.no_grad():
        look = reader.learn(label, made, reference)
        seen = reader.see(look, calibration, cell, goal)
        taught = 0
        if cell is not None and made.has_head:
            taught = _teach(label, made, seen, folds, cell, split)
        scores, owners = _clean_scores(made, seen, folds, calibration)
        threshold = _threshold(label, scores, false_alarms, calibration)
        record = Record(
            name=name,
            label=label,
            fields=fields_of(made),
            layers=look.extract.layers,
            passes=plan.detection.passes,
            seed=plan.audit.seed,
            threshold=threshold,
            promise=Promise(
                asked=false_alarms,
                reached=float((scores > threshold).mean()),
                split=calibration.split,
                images=len(scores),
                groups=owners,
            ),
            teaching=_met(label, made, seen, folds, cell, taught, scores, threshold),
            reference=reference.split,
            reference_images=len(reference),
            left_out=reader.copies,
            size=calibration.size,
            grey=calibration.grey,
            classifier=_owner(plan, reader, calibration),
            robust=importlib.metadata.version("robust-audit"),
        )
    stored = StoredDetector(record, made)
    if out is not None:
        stored.save(out)
    return stored


def highest_allowed(clean: Array, share: float) -> float:
    """The lowest of these scores that a further clean image exceeds with at most this probability.

    Over the draw of all of them; the plain quantile would let a little more through. InputError
    where there are too few for such a share.
    """
    rank = math.ceil((1 - share) * (len(clean) + 1) - 1e-9)
    if rank > len(clean):
        raise InputError(
            f"{len(clean)} clean images are left to set the threshold; {share:.3g} false alarms "
            f"need {math.ceil(1 / share - 1 - 1e-9)} or more: allow more, or give more images"
        )
    return float(np.sort(clean)[rank - 1])


def _folds(cases: Cases, seed: int) -> Places:
    codes = np.unique([entry.group for entry in cases.entries], return_inverse=True)[1]
    try:
        return folds_by_group(codes.astype(np.int64), seed, FOLDS)
    except InputError:
        raise InputError(
            f"{cases.split} has {len(set(codes))} groups; {FOLDS} or more are needed to keep "
            f"those that teach a head from those that set the threshold"
        ) from None


def _teach(
    label: str, detector: Detector, seen: Seen, folds: Places, cell: Cell, split: str
) -> int:
    """Fit the head; how many attacked images it learned from."""
    own = torch.from_numpy((folds[seen.places] < TEACHING_FOLDS) & seen.right)
    attacked = torch.from_numpy(folds[seen.attacked] < TEACHING_FOLDS)
    if seen.adversarial is None or not attacked.any():
        why = f" ({seen.failure})" if seen.failure else ""
        raise InputError(
            f"{said(cell)} fooled the classifier on none of the images of {split} that teach "
            f"{label}, of {seen.tried} attacked in all{why}: nothing to learn from; raise --eps or "
            f"take a stronger attack"
        )
    try:
        detector.calibrate(
            detector.statistics(seen.clean.take(own)),
            detector.statistics(seen.adversarial.take(attacked)),
        )
    except (ValueError, RuntimeError) as error:
        raise InputError(f"detector {label}: {first_line(error)}") from None
    detector.head = settle(detector.head or {})
    return int(attacked.sum())


def _clean_scores(detector: Detector, seen: Seen, folds: Places, cases: Cases) -> tuple[Array, int]:
    """Of the clean images that set the threshold, and how many groups they are of.

    A head has seen the others; a detector without one has seen none, and takes all.
    """
    kept = np.ones(len(seen.places), bool)
    if detector.head is not None:
        kept = folds[seen.places] >= TEACHING_FOLDS
    owners = {cases.entries[place].group for place in seen.places[kept]}
    return _scores(detector, seen.clean.take(torch.from_numpy(kept))), len(owners)


def _threshold(label: str, scores: Array, share: float, cases: Cases) -> float:
    threshold = highest_allowed(scores, share)
    if not math.isfinite(threshold):
        raise InputError(
            f"{label} gives more than {share:.3g} of the clean images of {cases.split} a score "
            f"that is no finite number; change its fields, or give more reference images"
        )
    return threshold


def _met(
    label: str,
    detector: Detector,
    seen: Seen,
    folds: Places,
    cell: Cell | None,
    taught: int,
    clean: Array,
    threshold: float,
) -> Teaching | None:
    """What became of attacked images that nothing was learned from."""
    if cell is None:
        return None
    flagged = met = 0
    if seen.adversarial is not None:
        kept = folds[seen.attacked] >= (TEACHING_FOLDS if taught else 0)
        met = int(kept.sum())
        scores = _scores(detector, seen.adversarial.take(torch.from_numpy(kept)))
        flagged = int((scores > threshold).sum())
        if met and len(np.unique(np.concatenate([clean, scores]))) == 1:
            raise InputError(
                f"{label} gives every image the same score, clean or attacked: it could flag none; "
                f"change its fields or layers, or take another detector"
            )
    return Teaching(
        attack=cell.label,
        fields=fields_of(cell.attack),
        norm=cell.threat.norm,
        eps=cell.eps,
        taught=taught,
        met=met,
        flagged=flagged,
    )


def _scores(detector: Detector, features: Features) -> Array:
    if not len(features):
        return np.zeros(0)
    scores: Array = detector.score(features).double().numpy()
    # A score that is no number is flagged in use, so that it counts as the highest here.
    return np.where(np.isnan(scores), np.inf, scores)


def _owner(plan: Plan, reader: Reader, cases: Cases) -> Owner:
    ready: Classifier = reader.ready
    assert plan.model is not None  # open_plan checks
    probe = ready(pattern(reader.shape).to(like(ready)))
    return Owner(
        weights_sha256=weights_hash(ready),
        described=ready.describe(),
        classes=cases.classes,
        image=reader.shape,
        probe=tuple(probe[0].double().tolist()),
        model=plan.model.model_copy(update={"head": ready.head}),
    )
