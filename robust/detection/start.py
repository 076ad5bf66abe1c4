"""Starts the detectors of a run: fit them, read clean images, check, before any attack runs."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from detectors import Detector, FeatureReader
from robust.cases import Cases
from robust.detection.cross_fitting import check_separate
from robust.detection.detection_run import DetectionRun
from robust.detection.evaluate import fitting_keys
from robust.detection.factory import DetectorSuite, fit_detectors, make_extractor
from robust.detection.feature_log import CLEAN, REFERENCE, FeatureLog, logged_cells
from robust.detection.population import choose_population
from robust.detection.record import record_clean
from robust.detection.reference import read_reference
from robust.engine.batch import read_batches
from robust.engine.session import Session
from robust.errors import InputError
from robust.metrics.groups import folds_by_group
from robust.plan.spec import AuditSpec, DetectionSpec


def start_detection(
    session: Session,
    detectors: Mapping[str, Detector],
    reference: Cases,
    spec: DetectionSpec,
    audit: AuditSpec,
) -> DetectionRun:
    """Choose the population, fit the detectors and record the clean images.

    InputError, before any attack runs, for everything that the evaluation would refuse later.
    """
    runner, cells = session.runner, logged_cells(session.cells)
    if not cells:
        raise InputError(
            "detectors need an attack that is run in full; set cells = 'exact' in [audit]"
        )
    population = choose_population(session.cases, session.store.clean(), session.goal, spec.cases)
    first = population.rows[:1]
    x = next(iter(read_batches(session.cases, first, runner.template)))[2]
    extract = make_extractor(session.classifier, list(detectors.values()), x, spec.layers)
    log = FeatureLog(session.store, population)
    with torch.no_grad():
        log.remember_layout(REFERENCE, extract(x))
    learned_from, about = read_reference(
        reference, spec.reference_cases, audit.chunk, extract, log, runner
    )
    fitted = fit_detectors(detectors, learned_from)
    run = DetectionRun(
        suite=DetectorSuite(fitted, learned_from, about, extract.layers),
        log=log,
        reader=FeatureReader(extract, fitted.values(), dropout_passes=spec.passes, seed=audit.seed),
        runner=runner,
        goal=session.goal,
        spec=spec,
        audit=audit,
    )
    with torch.no_grad():
        log.remember_layout(CLEAN, run.reader(x))
    record_clean(run)
    folds = folds_by_group(population.groups, audit.seed)
    check_separate(learned_from, log.feature_set(CLEAN), folds, population.groups)
    if not fitting_keys(cells, spec):
        known = ", ".join(dict.fromkeys(cell.label for cell in cells))
        raise InputError(
            f"[detection] fit_on and fit_eps name no attack of this plan that is run in full; "
            f"there are {known}, at the eps of [audit]"
        )
    return run
