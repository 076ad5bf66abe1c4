"""Detectors of a run: fit their statistics and check the split before any attack runs."""

from __future__ import annotations

from collections.abc import Sequence

from detectors import Detector, Reference
from robust.cases import Cases
from robust.detection.cross_fitting import FeatureSet, check_separate
from robust.detection.evaluate import _fit_on
from robust.detection.feature_log import FeatureLog, logged_cells
from robust.detection.population import make_feature_log
from robust.engine.cells import Cell
from robust.engine.session import Session
from robust.errors import InputError
from robust.metrics.groups import folds_by_group
from robust.plan.spec import Plan


def start_detection(
    plan: Plan, job: Session, detectors: dict[str, Detector], reference: Cases
) -> tuple[FeatureLog, Reference]:
    """Choose what detectors are judged on and let them learn, before any attack runs."""
    log = make_feature_log(plan, detectors, job.runner, job.cells, job.goal)
    learned = log.learn(reference)
    check_early(log, learned, log.clean(job.goal), job.cells)
    return log, learned


def check_early(
    watch: FeatureLog, reference: Reference, clean: FeatureSet, cells: Sequence[Cell]
) -> None:
    """InputError for what `judge` would refuse in the end, before any attack runs."""
    folds = folds_by_group(watch.groups, watch.plan.audit.seed)
    check_separate(reference, clean, folds, watch.groups)
    if not _fit_on(watch, logged_cells(cells)):
        known = ", ".join(dict.fromkeys(cell.label for cell in logged_cells(cells)))
        raise InputError(
            f"[detection] fit_on and fit_eps name no attack of this plan that is run in full; "
            f"there are {known}, at the eps of [audit]"
        )
