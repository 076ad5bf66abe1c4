"""The cases that detectors are judged on, and what keeps them apart from the reference."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from detectors import Detector
from robust.cases.case import Cases, spread
from robust.detection.factory import make_feature_reader
from robust.detection.feature_log import FeatureLog, logged_cells
from robust.engine.batch import read_batches
from robust.engine.cells import Cell
from robust.engine.goal import Goal
from robust.engine.runner import Runner
from robust.errors import InputError
from robust.metrics.groups import FOLDS, merge_duplicates
from robust.plan.spec import Plan


def make_feature_log(
    plan: Plan, detectors: dict[str, Detector], runner: Runner, cells: Sequence[Cell], goal: Goal
) -> FeatureLog:
    """Choose the cases to judge on. InputError where that cannot work, before any attack runs."""
    if not logged_cells(cells):
        raise InputError(
            "detectors need an attack that is run in full; set cells = 'exact' in [audit]"
        )
    entries, clean = runner.cases.entries, runner.store.clean()
    labels = torch.tensor([entry.label for entry in entries])
    eligible = goal.eligible(labels).tolist()
    right = {
        c.row: c
        for c in clean
        if c.logits is not None
        and int(c.logits.argmax()) == entries[c.row].label
        and eligible[c.row]
    }
    if not right:
        raise InputError("no case is right when clean; there is nothing for detectors to judge")
    rows = spread(sorted(right), plan.detection.cases)
    own, pixels = [entries[row].group for row in rows], [right[row].pixels for row in rows]
    groups = merge_duplicates(own, pixels)
    if len(set(groups.tolist())) < 2 * FOLDS:
        raise InputError(
            f"detectors are judged on {2 * FOLDS} groups or more that are right when clean, here "
            f"are {len(set(groups.tolist()))}; audit more cases, or take [[detectors]] out"
        )
    x = next(iter(read_batches(runner.cases, rows[:1], runner.like)))[2]
    look = make_feature_reader(runner.classifier, detectors, plan.detection, x, plan.audit.seed)
    copies = len(pixels) - len(set(pixels))
    return FeatureLog(plan, runner, detectors, look, rows, len(right), groups, copies)


def check_apart(reference: Cases, cases: Cases) -> None:
    """InputError where a patient of the reference is audited too, or the classes differ."""
    if reference.classes != cases.classes:
        raise InputError(
            f"the reference has the classes {', '.join(reference.classes)}, the audited cases "
            f"{', '.join(cases.classes)}; they must be the same, in one order"
        )
    if not (reference.grouped and cases.grouped):
        return
    shared = {e.group for e in reference.entries} & {e.group for e in cases.entries}
    if shared:
        raise InputError(
            f"{len(shared)} groups lie on two sides, in the split {reference.split!r} that "
            f"detectors learn from and among the audited cases, {min(shared)!r} first; keep all "
            f"images of a patient in one split"
        )
