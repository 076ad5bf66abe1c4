"""One audit from end to end: a classifier and cases to a Report and its run directory."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from attacks import Attack
from detectors import Detector
from robust.auditing.assemble import make_report, no_gallery
from robust.cases import Cases
from robust.detection.adaptive.evaluate import evaluate_adaptive
from robust.detection.detection_run import DetectionRun
from robust.detection.evaluate import evaluate_detectors
from robust.detection.factory import make_detectors
from robust.detection.record import attack_features, record_controls
from robust.detection.reference import check_reference
from robust.detection.start import start_detection
from robust.diagnostics.probe import probe
from robust.engine.batch import Batch
from robust.engine.cells import Cell, make_attacks, make_cells
from robust.engine.inputs import _cases, _classifier, open_plan, open_reference
from robust.engine.outcome_table import write_table
from robust.engine.provenance import recall
from robust.engine.run_directory import open_store, remove
from robust.engine.run_store import FeatureRow, Outcome, RunStore
from robust.engine.runner import Progress
from robust.engine.session import Session, start_session
from robust.errors import InputError
from robust.gallery.select import make_gallery
from robust.models import Classifier, choose_device, full_precision
from robust.models.acceleration.memory import memory_kept
from robust.plan.load import make_plan
from robust.plan.spec import Plan
from robust.records import GALLERY, Detection, Report, build
from robust.scenarios.run import check_scenarios, run_scenarios
from robust.storage.survival import StorageCheck


def _silent(done: float, total: float, label: str) -> None:
    """No progress shown."""


def audit(
    classifier: Classifier,
    cases: Cases,
    *,
    attacks: Sequence[str | Attack] | None = None,
    detectors: Sequence[str | Detector] = (),
    reference: Cases | None = None,
    surrogate: Classifier | None = None,
    out: str | Path | None = None,
    title: str = "Robustness audit",
    gallery: int | None = None,
    device: str = "auto",
    skip_broken: bool = False,
    progress: Progress = _silent,
    **settings: Any,
) -> Report:
    """Audit a classifier on cases. `attacks` are names or instances (default: those of Ma et al.).

    `detectors` (names or instances, not fitted) learn from `reference`, cases of the split that
    the classifier learned from, and are judged on the attacks. `settings` are the fields of a
    plan's `[audit]` table: norm, eps, cells, goal, target, threshold, seed, chunk; `detection`,
    `scenarios` and `doubts` are dicts of those of its tables of that name. Images made on
    `surrogate`, another model, are shown to the classifier. With `out` the run lives in that folder
    and resumes from it, and `gallery` cases are drawn there as pictures (default: 6, or none where
    a picture may carry a name). The classifier is copied, never changed. Raises InputError.
    """
    raw: dict[str, Any] = {"title": title, "report": {"gallery": gallery}}
    for table in ("detection", "scenarios", "doubts"):
        raw[table] = settings.pop(table, {})
    raw["audit"] = settings
    raw["detectors"] = [_as_spec(detector) for detector in detectors]
    made: list[Attack] | None = None
    if attacks is not None:
        raw["attacks"] = [_as_spec(attack) for attack in attacks]
    plan = make_plan(raw, "audit")
    if attacks is not None:
        named = iter(make_attacks([s for s, a in zip(plan.attacks, attacks) if isinstance(a, str)]))
        made = [next(named) if isinstance(a, str) else a for a in attacks]
    known = make_detectors(plan.detectors)
    for label, given in zip(known, detectors, strict=True):
        if isinstance(given, Detector):
            known[label] = given
    return _run(
        plan,
        made or make_attacks(plan.attacks),
        classifier,
        cases,
        out,
        device,
        skip_broken,
        progress,
        known,
        reference,
        surrogate,
    )


def audit_plan(
    plan: Plan,
    *,
    out: str | Path | None = None,
    device: str = "auto",
    skip_broken: bool = False,
    progress: Progress = _silent,
) -> Report:
    """Audit what a plan names. The same plan and `out` again resume what was cut short."""
    attacks, detectors = make_attacks(plan.attacks), make_detectors(plan.detectors)
    classifier, cases = open_plan(plan, device)
    reference = open_reference(plan) if detectors else None
    other = plan.scenarios.surrogate
    return _run(
        plan,
        attacks,
        classifier,
        cases,
        out,
        device,
        skip_broken,
        progress,
        detectors,
        reference,
        None if other is None else _classifier(other, 0.5),
    )


def unfinished_report(run: str | Path) -> Report:
    """The report on what a run has finished so far, while it goes on or after it was cut short.

    Nothing is written. InputError where there is nothing yet, or where the data are not those of
    the run or were handed over in Python.
    """
    directory = Path(run)
    store = RunStore.look(directory)
    try:
        facts = recall(store)
        if facts is None:
            raise InputError(f"the run in {directory} has not predicted every clean image yet")
        if facts.plan.data is None:
            raise InputError(
                f"the run in {directory} is not finished, and its cases were handed over in "
                f"Python; call robust.audit again with the same arguments to go on"
            )
        cases = _cases(facts.plan.data)
        if cases.fingerprint() != store.get("data"):
            raise InputError(f"the data have changed since the run in {directory} began")
        attacks = make_attacks(facts.plan.attacks)
        cells = make_cells(facts.plan.attacks, attacks, facts.plan.audit, len(cases.classes))
        return make_report(facts, cases, cells, store, table="", seconds=0.0)
    finally:
        store.close()


def _run(
    plan: Plan,
    attacks: Sequence[Attack],
    classifier: Classifier,
    cases: Cases,
    out: str | Path | None,
    device: str,
    skip_broken: bool,
    progress: Progress,
    detectors: dict[str, Detector],
    reference: Cases | None,
    surrogate: Classifier | None,
) -> Report:
    check_scenarios(plan.scenarios)
    if detectors:
        if reference is None:
            raise InputError("detectors need reference, cases of the split learned from")
        check_reference(reference, cases)
    store, directory, fresh = open_store(out)
    attacking = False
    began = time.perf_counter()
    try:
        with full_precision(), memory_kept(choose_device(device)):
            job = start_session(
                plan,
                attacks,
                classifier,
                cases,
                store,
                device=device,
                skip_broken=skip_broken,
                progress=progress,
                reference=reference,
                surrogate=surrogate,
            )
            run = None
            if reference is not None:
                run = start_detection(job, detectors, reference, plan.detection, plan.audit)
            attacking = True  # from here on there is work that is worth keeping
            _attack(job, run, plan.audit.seed)
            detection = None if run is None else _detect(job, run)
            scenarios = run_scenarios(plan, job)
            probe(plan, job)
            report = make_report(
                job.facts,
                cases,
                job.cells,
                store,
                table=write_table(directory, store, cases, job.cells),
                seconds=time.perf_counter() - began,
                copies=0 if run is None else run.log.population.copies,
                detection=detection,
                scenarios=scenarios,
                gallery=partial(make_gallery, directory / GALLERY, plan, job)
                if out
                else no_gallery,
            )
        unfinished = directory / "report.json.partial"
        report.save(unfinished)
        unfinished.replace(directory / "report.json")
    except InputError:
        store.close()
        if not attacking or out is None:
            remove(fresh)
        raise
    store.close()
    if out is None:
        remove(fresh)
    return report


def _attack(job: Session, run: DetectionRun | None, seed: int) -> None:
    """Run the attacks; record what they leave after storage, and the features of successes."""
    storing = StorageCheck(job.runner.logits, job.goal)

    def see(
        cell: Cell, batch: Batch, x_adv: Tensor, outcomes: Sequence[Outcome]
    ) -> list[FeatureRow]:
        kept = storing.see(cell, batch, x_adv, outcomes)
        return kept if run is None else kept + attack_features(run, cell, x_adv, outcomes)

    job.runner.attack(job.cells, job.goal, seed, see)


def _detect(job: Session, run: DetectionRun) -> Detection:
    """Evaluate the detectors, against adaptive attacks too; from the store if done before."""
    store = job.runner.store
    record_controls(run, job.cells)
    if (kept := store.get_json("detection")) is not None:
        known: Detection = build(Detection, kept)
        return known
    found = evaluate_detectors(
        run.log, run.suite, job.cells, run.spec, run.audit, job.runner.progress
    )
    found = dataclasses.replace(found, adaptive=evaluate_adaptive(run, job.cells, found))
    store.put_json("detection", dataclasses.asdict(found))
    return found


def _as_spec(attack: str | Attack | Detector) -> dict[str, Any]:
    if isinstance(attack, str):
        return {"name": attack}
    spec: dict[str, Any] = {"name": type(attack).__name__}
    if dataclasses.is_dataclass(attack):
        for field in dataclasses.fields(attack):
            value = getattr(attack, field.name)
            spec[field.name] = value if isinstance(value, str | int | float) else repr(value)
    return spec
