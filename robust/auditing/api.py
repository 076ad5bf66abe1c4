"""One audit from end to end: a classifier and cases to a Report and its run directory."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attacks import Attack
from detectors import Detector
from robust.auditing import cost
from robust.auditing.assemble import StageResults, make_report, no_gallery
from robust.auditing.attack_stage import AttackStage, computing, prepare_attacks
from robust.auditing.request import AuditRequest, RunSettings, open_request
from robust.auditing.shards import join_request, settle
from robust.auditing.workers.attack import attack_on_workers, gather, settle_threads
from robust.cases import Cases, cases_from
from robust.cases.case import Entry
from robust.certificates.case_table import write_certificate_table
from robust.certificates.contract import Certificate
from robust.certificates.run import run_certificates
from robust.corruptions.case_table import write_corruption_table
from robust.corruptions.run import run_corruptions
from robust.detection.adaptive.evaluate import evaluate_adaptive
from robust.detection.detection_run import DetectionRun
from robust.detection.evaluate import evaluate_detectors
from robust.detection.factory import detector_labels, make_detectors
from robust.detection.record import record_controls
from robust.diagnostics.probe import probe
from robust.engine.cells import make_attacks, make_cells
from robust.engine.database.errors import DatabaseUnavailable
from robust.engine.identity.attacks import attacks_of_run
from robust.engine.outcome_table.write import write_table
from robust.engine.provenance import Provenance
from robust.engine.run_directory import RunDirectory, open_run, writing
from robust.engine.run_memory import (
    CASE_SET,
    CERTIFICATES,
    CORRUPTIONS,
    DETECTION,
    MERGED_GROUPS,
    SCENARIOS,
    TASK,
    TWIN,
    CaseSet,
)
from robust.engine.run_store import RunStore
from robust.engine.session import RunInputs, Session
from robust.engine.summary import Summary
from robust.errors import BlackBoxFailure, InputError, first_line
from robust.files import write_atomically
from robust.gallery.select import make_gallery
from robust.models import Adapter
from robust.models.class_order import matched
from robust.models.gradients.gradient_free import fitting_plan
from robust.models.preparation import require_adapter
from robust.plan.load import make_plan
from robust.plan.machines import WorkerChoice
from robust.plan.parameters import parameters_of
from robust.plan.spec import DetectorSpec, Plan, TrackSpec
from robust.progress import (
    Announce,
    Progress,
    StagedProgress,
    no_announcement,
    no_progress,
)
from robust.records import GALLERY, Detection, Exhibit, Report
from robust.scenarios.run import run_scenarios
from robust.scenarios.twin import compare_twin
from robust.tasks.make import remembered_task
from robust.tracking import require_tracking, track_report

MOST_CASES = 100_000_000
"""More than this is a forged number, for which no memory is taken."""

_log = logging.getLogger(__name__)


def audit(
    classifier: Adapter,
    cases: Any,
    *,
    attacks: Sequence[str | Attack] | None = None,
    detectors: Sequence[str | Detector] = (),
    reference: Any = None,
    surrogate: Adapter | None = None,
    twin: Adapter | None = None,
    certificates: Sequence[str | Certificate] = (),
    corruption_reference: Adapter | None = None,
    out: str | Path | None = None,
    title: str = "Robustness audit",
    gallery: int | None = None,
    device: str = "auto",
    skip_broken: bool = False,
    progress: Progress = no_progress,
    announce: Announce = no_announcement,
    **settings: Any,
) -> Report:
    """Audit a classifier or a segmenter on cases.

    `attacks` are names or instances (default: those of Ma et al., or those for segmentation).
    `cases` and `reference` are `Cases`, or what `robust.cases_from` takes, such as `(x, y)`.
    The default for a model without gradients is Noise and Square. `detectors` (names or
    instances, not fitted) learn from `reference`, cases of the split that the classifier
    learned from, and are evaluated on the attacks. `settings` are the fields of a plan's
    `[audit]` table: norm, eps, cells, goal, target, threshold, seed, chunk; `segmentation`,
    `detection`, `scenarios`, `corruptions`, `doubts` and `report` are dicts of those of its tables
    of that name; `corruptions = {}` takes its defaults, `track = {}` asks MLFLOW_TRACKING_URI.
    Images made on `surrogate`, another model, are shown to the classifier; `twin`, the version of
    it that is deployed, is compared with it. `certificates` (names or instances) prove lower
    bounds; BE and rBE of corruptions are relative to the errors of `corruption_reference`. With
    `out` the run lives in that folder and resumes from it, and `gallery` cases are drawn there as
    pictures (default: 6, or none where a picture may carry a name). `progress` is told how far the
    whole run is, `announce` the folder, the cost and each stage in a line. The classifier is
    copied, never changed. Raises InputError.
    """
    require_adapter(classifier)
    for other in (surrogate, twin, corruption_reference):
        if other is not None:
            require_adapter(other)
    cases = cases_from(cases)
    reference = None if reference is None else cases_from(reference)
    raw: dict[str, Any] = {"title": title}
    for table in ("segmentation", "detection", "scenarios", "doubts", "report"):
        raw[table] = settings.pop(table, {})
    for table in ("corruptions", "track"):
        raw[table] = settings.pop(table, None)
    if gallery is not None and isinstance(raw["report"], dict):
        raw["report"] = {"gallery": gallery, **raw["report"]}
    raw["audit"] = settings
    raw["detectors"] = [_as_spec(detector) for detector in detectors]
    raw["certificates"] = [_as_spec(certificate) for certificate in certificates]
    made: list[Attack] | None = None
    if attacks is not None:
        raw["attacks"] = [_as_spec(attack) for attack in attacks]
    plan = make_plan(raw, "audit")
    require_tracking(plan.track)
    plan = fitting_plan(plan, classifier, surrogate)
    if attacks is not None:
        named = iter(make_attacks([s for s, a in zip(plan.attacks, attacks) if isinstance(a, str)]))
        made = [next(named) if isinstance(a, str) else a for a in attacks]
    known = _detectors(plan.detectors, detectors)
    made = made or make_attacks(plan.attacks)

    def fitted(model: Adapter) -> Adapter:
        return matched(model, cases.classes, cases.outlines)

    others = (None if m is None else fitted(m) for m in (surrogate, twin, corruption_reference))
    inputs = RunInputs(fitted(classifier), cases, made, reference, *others)
    staged = StagedProgress(progress, announce)
    return run_request(AuditRequest(plan, inputs, known, out, staged, device, skip_broken))


def audit_plan(
    plan: Plan,
    *,
    out: str | Path | None = None,
    device: str = "auto",
    skip_broken: bool = False,
    progress: Progress = no_progress,
    announce: Announce = no_announcement,
    workers: WorkerChoice | None = None,
) -> Report:
    """Audit what a plan names; with the same plan and `out`, an interrupted run is resumed.

    `progress` is told how far the whole run is, `announce` the folder, the cost and each stage.
    `workers` attack in place of this process; a script that names some guards its code with
    `if __name__ == "__main__"`, since they import it.
    """
    require_tracking(plan.track)
    settings = RunSettings(out, device, skip_broken, progress, announce, workers)
    return run_request(open_request(plan, settings))


def merge_shards(
    run: str | Path, plan: Plan, settings: RunSettings, *, incomplete: bool = False
) -> Report:
    """Join the shards of a plan in a run directory, then go on as `audit_plan` does.

    The report is that of a run without shards. InputError, with nothing merged, where shards do not
    fit together or to the plan, and, unless `incomplete`, where anything is missing: with it, what
    is missing is attacked here.
    """
    request = open_request(plan, dataclasses.replace(settings, out=run))
    return run_request(request, lambda store: join_request(request, store, Path(run), incomplete))


def unfinished_report(run: str | Path) -> Report:
    """The report on what a run has finished so far, while it goes on or after it was cut short.

    It comes from the run directory alone, which may be anybody's: no data are read, no network is
    loaded, no code is imported, nothing is written. InputError where there is nothing yet.
    """
    directory = Path(run)
    store = RunStore.open_to_read(directory)
    try:
        return _report_so_far(store, directory)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001  (a forged store can hold anything)
        raise InputError(
            f"the run in {directory} does not hold what robust writes "
            f"({type(error).__name__}: {first_line(error)}); audit again"
        ) from None
    finally:
        store.close()


def _report_so_far(store: RunStore, directory: Path) -> Report:
    provenance, known = Provenance.load(store), store.get(CASE_SET)
    if store.damage is not None:
        chunk = provenance.plan.audit.chunk if provenance else 1
        for line in store.damage.lines(chunk, known.count if known else 0):
            _log.warning("robust: %s", line.replace("will run again", "counts as not finished"))
    if provenance is None or known is None:
        raise InputError(f"the run in {directory} has not predicted every clean image yet")
    cases, merged = _known_cases(store, known), store.get(MERGED_GROUPS)
    if merged is not None:
        cases = merged.applied(cases)
    plan = provenance.plan
    attacks = attacks_of_run(plan.attacks, store)
    task = remembered_task(plan, cases, store.get(TASK))
    cells = make_cells(plan.attacks, attacks, plan.audit, task)
    scenarios = store.get(SCENARIOS)
    twin = store.get(TWIN)
    certificates, corruptions = store.get(CERTIFICATES), store.get(CORRUPTIONS)
    found = StageResults(
        detection=store.get(DETECTION),
        certificates=certificates.certificates if certificates else (),
        corruptions=corruptions.corruptions if corruptions else None,
        scenarios=scenarios.scenarios if scenarios else (),
        twin=twin.twin if twin else None,
    )
    return make_report(provenance, cases, cells, store, task, found)


def _known_cases(store: RunStore, known: CaseSet) -> Cases:
    """The cases without their pixels; those of unfinished chunks without all else, too."""
    if not 0 <= known.count <= MOST_CASES:
        raise InputError(f"the run file names {known.count} cases")
    entries = [Entry("", 0, "", {}, None)] * known.count
    for one in store.known_cases():
        entries[one.row] = Entry(one.id, one.label, one.group, one.metadata, None)
    return Cases(
        source=known.source,
        classes=known.classes,
        entries=tuple(entries),
        read=_no_pixels,
        findings=known.findings,
        grouped=known.grouped,
        phantom=known.phantom,
        split=known.split,
        noun=known.noun,
        showable=known.showable,
        notes=known.notes,
        outlines=known.outlines,
    )


def _no_pixels(location: object) -> Any:
    raise InputError("the report of an unfinished run reads no image")


def run_request(request: AuditRequest, join: Callable[[RunStore], None] | None = None) -> Report:
    """Check, run every stage, and write the report; a run that never began leaves nothing.

    `join` is called with the opened store, before the first stage.
    """
    request.check()
    costs = cost.told_cost(request)
    directory = open_run(request.out, shards=join is not None)
    stages = _Stages(request, directory, costs)
    keep = request.out is not None
    try:
        with computing(request.device):
            if join is not None:
                join(directory.store)
            report = stages.run()
        with writing(directory.path):
            write_atomically(directory.path / "report.json", report.to_json())
        if request.plan.track is not None:
            _track(report, directory.path, request, request.plan.track)
    except (DatabaseUnavailable, BlackBoxFailure):
        keep = keep and (stages.attacking or directory.holds_chunks())
        raise
    except InputError:
        keep = keep and stages.attacking
        raise
    finally:
        if request.queries is not None:
            request.queries.stop()
        directory.close(keep=keep)
    return report


def _track(report: Report, folder: Path, request: AuditRequest, spec: TrackSpec) -> None:
    """Log a finished audit to MLflow; where that fails, the audit stands and a line says so."""
    try:
        request.progress.announce(track_report(report, folder, spec))
    except InputError as error:
        again = "" if request.out is None else f", or robust report {request.out} --track ADDRESS"
        _log.warning(
            "robust: the audit is finished, but it was not tracked: %s (to try again: the same "
            "command%s)",
            error,
            again,
        )


@dataclass
class _Stages:
    """The stages of one audit, one after another."""

    request: AuditRequest
    directory: RunDirectory
    costs: cost.ToldCost
    attacking: bool = False
    """Whether attacks have begun, so that an error keeps the run directory."""

    def run(self) -> Report:
        """From opened inputs to the report."""
        began = time.perf_counter()
        request, plan = self.request, self.request.plan
        origin = request.inputs.classifier.origin
        told = self.costs.announce(self.directory.path if request.out else None)

        def stage(name: str) -> None:
            origin.asks_for(name)
            told(name)

        def started(session: Session) -> None:
            self.costs.measure(session)
            if request.inputs.reference is not None:
                stage(cost.REFERENCE)

        def attack() -> None:
            self.attacking = True
            stage(cost.ATTACKS)

        store = self.directory.store
        if request.workers is None:
            attacks = prepare_attacks(request, store, started=started)
            attack()
        else:
            attacks = self._on_workers(request.workers, started, attack)
        attacks.run()
        session, run = attacks.session, attacks.detection
        detection = None if run is None else _detect(session, run, stage)
        stage(cost.CERTIFICATES)
        certificates = run_certificates(plan.certificates, plan.audit, session)
        stage(cost.CORRUPTIONS)
        corruptions = run_corruptions(plan.corruptions, plan.audit, session)
        stage(cost.SCENARIOS)
        scenarios = run_scenarios(plan.scenarios, plan.audit, session)
        stage(cost.DEPLOYED)
        twin = compare_twin(plan.scenarios, plan.audit, session)
        if plan.doubts.probe:
            stage(cost.PROBE)
            probe(plan.audit, session)
        stage(cost.RESULTS)
        if request.queries is not None:
            request.queries.save()
        stages = StageResults(
            detection=detection,
            certificates=certificates,
            corruptions=corruptions,
            scenarios=scenarios,
            twin=twin,
            **self._write_tables(session),
            seconds=time.perf_counter() - began,
        )

        def gallery(summary: Summary) -> tuple[Exhibit, ...]:
            stage(cost.GALLERY)
            shown = make_gallery(self.directory.path / GALLERY, session, summary)
            if request.queries is not None:
                request.queries.save()
            return shown

        with writing(self.directory.path):
            return make_report(
                session.provenance,
                session.cases,
                session.cells,
                session.store,
                session.task,
                stages,
                gallery if request.out else no_gallery,
            )

    def _on_workers(
        self, choice: WorkerChoice, started: Callable[[Session], None], begin: Callable[[], None]
    ) -> AttackStage:
        """Let workers attack; the stage that is returned has nothing left to attack."""
        request, store = self.request, self.directory.store
        with gather(choice, request.device) as crew:
            self.costs.workers = crew.count
            settle_threads(request, store, crew)
            settled = settle(request, store, started)
            begin()
            attack_on_workers(request, settled, crew)
        if request.inputs.reference is not None:  # all clean images were predicted before
            return settled
        return prepare_attacks(request, store)

    def _write_tables(self, session: Session) -> dict[str, str]:
        """Write the tables with a line for each case; their hashes by field of `StageResults`."""
        plan, folder = session.provenance.plan, self.directory.path
        with writing(folder):
            return {
                "table": write_table(
                    folder, session.store, session.cases, session.cells, session.task.record
                ),
                "certificate_table": write_certificate_table(
                    folder, plan.certificates, plan.audit, session
                ),
                "corruption_table": write_corruption_table(
                    folder, plan.corruptions, plan.audit, session
                ),
            }


def _detect(session: Session, run: DetectionRun, stage: Callable[[str], None]) -> Detection:
    """Evaluate the detectors, against adaptive attacks too, unless the store has it already."""
    cells = session.cells
    stage(cost.CONTROLS)
    record_controls(run, cells)

    def evaluate() -> Detection:
        stage(cost.DETECTORS)
        found = evaluate_detectors(run.log, run.suite, cells, run.spec, run.audit, session.progress)
        stage(cost.ADAPTIVE)
        return dataclasses.replace(found, adaptive=evaluate_adaptive(run, cells, found))

    return session.store.memo(DETECTION, evaluate)


def _detectors(
    specs: Sequence[DetectorSpec], given: Sequence[str | Detector]
) -> dict[str, Detector]:
    """By label: instances as they are given, also of classes that nobody has registered."""
    found: dict[str, Detector] = {}
    for label, spec, one in zip(detector_labels(specs), specs, given, strict=True):
        found[label] = one if isinstance(one, Detector) else make_detectors([spec])[label]
    return found


def _as_spec(thing: str | Attack | Detector | Certificate) -> dict[str, Any]:
    """The table that a plan would have for an attack, a detector or a certificate."""
    if isinstance(thing, str):
        return {"name": thing}
    return {"name": type(thing).__name__, **parameters_of(thing)}
