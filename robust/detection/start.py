"""Starts the detectors of a run: fit them, read clean images, check, before any attack runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from detectors import Detector, Extractor, FeatureReader, Features
from robust.cases import Cases
from robust.detection.cross_fitting import check_separate
from robust.detection.detection_run import DetectionRun
from robust.detection.evaluate import fitting_keys
from robust.detection.factory import DetectorSuite, fit_detectors, make_extractor
from robust.detection.feature_copies import copies_among, likeness
from robust.detection.feature_log import CLEAN, REFERENCE, FeatureLog, logged_cells
from robust.detection.population import Population, choose_population
from robust.detection.record import record_clean
from robust.detection.reference import ReferenceImages, read_reference
from robust.engine.batch import read_batches
from robust.engine.run_memory import FEATURE_COPIES, FeatureCopies
from robust.engine.session import Session
from robust.errors import InputError
from robust.metrics.groups import folds_by_group
from robust.models.preparation import require_classifier
from robust.plan.spec import AuditSpec, DetectionSpec

EVALUATED_AT_ONCE = 64
"""Images in one forward pass."""


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
    clean = session.store.clean()
    population = choose_population(session.cases, clean, session.task, spec.cases, audit.seed)
    first = population.rows[:1]
    x = next(iter(read_batches(session.cases, first, runner.template)))[2]
    classifier = require_classifier(session.classifier)
    extract = make_extractor(classifier, list(detectors.values()), x, spec.layers)
    log = FeatureLog(session.store, population)
    with torch.no_grad():
        log.remember_layout(REFERENCE, extract(x))
    images = read_reference(
        reference, spec.reference_cases, audit.chunk, extract, log, runner, audit.seed
    )
    images, log = _without_feature_copies(images, log, extract, session)
    learned_from, population = images.reference(runner), log.population
    fitted = fit_detectors(detectors, learned_from.to(x.device))
    run = DetectionRun(
        suite=DetectorSuite(fitted, learned_from, images.described(), extract.layers),
        log=log,
        reader=FeatureReader(extract, fitted.values(), dropout_passes=spec.passes, seed=audit.seed),
        runner=runner,
        task=session.task,
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


def _without_feature_copies(
    images: ReferenceImages, log: FeatureLog, extract: Extractor, session: Session
) -> tuple[ReferenceImages, FeatureLog]:
    """Leave out reference images, and join groups, whose features are near copies.

    They are looked for once; the run remembers what was found.
    """

    def look() -> FeatureCopies:
        return _find_feature_copies(images, log.population, extract, session)

    found = session.store.memo(FEATURE_COPIES, look)
    entries = session.cases.entries
    images = images.without([(row, entries[case].id) for row, case in found.reference])
    return images, replace(log, population=log.population.joined(found.evaluated))


def _find_feature_copies(
    images: ReferenceImages, population: Population, extract: Extractor, session: Session
) -> FeatureCopies:
    """Repeated until there are none: without a copy, another one may be the nearest."""
    rows: list[int] = []
    parts = []
    for start in range(0, len(population.rows), EVALUATED_AT_ONCE):
        some = population.rows[start : start + EVALUATED_AT_ONCE]
        for batch in session.runner.load(some):
            with torch.no_grad():
                parts.append(extract(batch.x))
            rows += batch.rows
    features = Features.cat(parts).take(torch.from_numpy(np.argsort(rows)))
    known: list[tuple[int, int]] = []
    while near := likeness(features, images.reference(session.runner)).copies:
        pairs = [(images.rows[there], population.rows[here]) for here, there in near]
        images = images.without([(row, "") for row, _ in pairs])
        known += pairs
    joined: list[tuple[int, int]] = []
    while near := copies_among(features, population.groups):
        joined += [(population.rows[a], population.rows[b]) for a, b in near]
        population = population.joined(joined)
    return FeatureCopies(tuple(known), tuple(joined))
