"""The Report, assembled from the store of a run and the results of its stages."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from robust.auditing.stages import missing_stages
from robust.cases.case import Cases
from robust.diagnostics.checks import find_flags
from robust.diagnostics.collect import RunResults, collect_evidence
from robust.engine.accuracy_curve import accuracy_curves
from robust.engine.cells import Cell, running_order
from robust.engine.identity.attacks import attack_text
from robust.engine.provenance import Provenance, utc_now
from robust.engine.run_memory import ACCELERATION, ASKED, BEGAN, CASES_AT_ONCE, PROBE, REPAIRED
from robust.engine.run_store import RunStore
from robust.engine.summary import FinishedCases, Summary, known_images
from robust.gallery.visibility import measure_visibility
from robust.plan.public import public_plan
from robust.records import (
    AppliedAcceleration,
    AuditedData,
    AuditedModel,
    CertifiedAccuracy,
    CorruptionResult,
    Detection,
    Exhibit,
    PassCounts,
    ProbeCost,
    QueryCounts,
    Report,
    Scenario,
    SmallerBatch,
    Timings,
    Twin,
    record_from,
)
from robust.storage.survival import survivals
from robust.tasks.contract import Task

MakeGallery = Callable[[Summary], tuple[Exhibit, ...]]


def no_gallery(summary: Summary) -> tuple[Exhibit, ...]:
    """No example images."""
    return ()


@dataclass(frozen=True)
class StageResults:
    """Results of the stages after the attacks, as far as they are finished."""

    detection: Detection | None = None
    certificates: tuple[CertifiedAccuracy, ...] = ()
    corruptions: CorruptionResult | None = None
    scenarios: tuple[Scenario, ...] = ()
    twin: Twin | None = None
    table: str = ""
    """Hash of outcomes.csv; empty where it has not been written."""
    certificate_table: str = ""
    """The same of certificates.csv."""
    corruption_table: str = ""
    """The same of corruptions.csv."""
    seconds: float = 0.0
    """Time that this call took."""


def make_report(
    provenance: Provenance,
    cases: Cases,
    cells: Sequence[Cell],
    store: RunStore,
    task: Task,
    stages: StageResults = StageResults(),
    make_gallery: MakeGallery | None = None,
) -> Report:
    """The report on all cases whose cells are finished; on a finished run that is every case.

    Without `make_gallery` there are no example images yet. InputError where no case is finished.
    """
    plan = provenance.plan
    finished = FinishedCases.of(store, cells, plan.audit.chunk)
    unfinished = len(cases) - len(finished.rows) - finished.broken
    ended = {
        "attacks": not unfinished,
        "table": bool(stages.table),
        "gallery": make_gallery is not None,
    }
    known = known_images(store, finished.rows)
    summary = Summary(store, cases, cells, finished, task, pixels=known.values)
    results = RunResults(
        provenance=provenance,
        cases=cases,
        cells=cells,
        store=store,
        summary=summary,
        finished=finished,
        clean=summary.clean_row(),
        rows=summary.cell_rows(),
        worst=summary.worst_rows(plan.audit.norm),
        detection=stages.detection,
        twin=stages.twin,
        certificates=stages.certificates,
        grey_in_colour=known.grey_in_colour,
        brightest=known.brightest,
        missing_stages=missing_stages(provenance.plan, cases, cells, store, ended, task),
    )
    gallery = () if make_gallery is None else make_gallery(summary)
    return Report(
        title=plan.title,
        clean=results.clean,
        rows=tuple(results.rows),
        worst_cases=tuple(results.worst),
        difficulty=tuple(summary.difficulty(results.rows)),
        flags=find_flags(collect_evidence(results)),
        plan=public_plan(plan).model_dump(mode="json"),
        model=record_from(AuditedModel, provenance.model),
        data=_data(results, known.values),
        environment=provenance.environment,
        table_sha256=stages.table,
        timings=_timings(results, stages.seconds),
        attacks={cell.label: attack_text(cell.attack) for cell in cells},
        gallery=gallery,
        visibility=measure_visibility(summary, plan.audit.norm, known.values_of),
        certificate_table_sha256=stages.certificate_table,
        corruption_table_sha256=stages.corruption_table,
        missing_stages=results.missing_stages,
        detection=stages.detection,
        certificates=stages.certificates,
        corruptions=stages.corruptions,
        scenarios=stages.scenarios,
        task=task.record,
        twin=stages.twin,
        accuracy_curves=accuracy_curves(cells, summary),
        survival=survivals(store, cells, summary, provenance.differentiable),
    )


def _data(results: RunResults, values: int) -> AuditedData:
    """`values` is the size of an image (c * h * w)."""
    cases, finished = results.cases, results.finished
    counts = Counter(entry.label for entry in results.summary.cases.entries)
    outlined = {name: one.cases for name, one in results.clean.scores.outlines.items()}
    return AuditedData(
        source=cases.source,
        split=cases.split,
        cases=len(finished.rows),
        groups=results.summary.groups,
        classes=outlined or {name: counts[i] for i, name in enumerate(cases.classes)},
        findings=tuple(cases.classes[i] for i in cases.findings),
        images=results.provenance.plan.report.images or cases.noun,
        synthetic=cases.phantom,
        grouped=cases.grouped,
        skipped_broken=finished.broken,
        unfinished=len(cases) - len(finished.rows) - finished.broken,
        values_per_image=values,
        index_sha256=results.store.identity("data") or "",
        copies=results.copies,
        left_out=cases.notes.left_out,
        pixels_sha256=hashlib.sha256("".join(finished.hashes).encode()).hexdigest(),
    )


def _timings(results: RunResults, seconds: float) -> Timings:
    store = results.store
    acceleration = store.get(ACCELERATION)
    probe = store.get(PROBE) if results.provenance.plan.doubts.probe else None
    return Timings(
        audited=store.get(BEGAN) or "",
        reported=utc_now(),
        seconds=round(seconds, 3),
        by_cell=store.seconds(),
        passes=_passes(store, results.cells),
        acceleration=None
        if acceleration is None
        else AppliedAcceleration(**dataclasses.asdict(acceleration)),
        queries=_queries(results.provenance, store),
        repaired=store.get(REPAIRED) or 0,
        probe=None if probe is None else ProbeCost(probe.cases, probe.passes, probe.seconds),
        smaller_batches=_smaller_batches(store),
        workers=results.workers,
    )


def _queries(provenance: Provenance, store: RunStore) -> QueryCounts | None:
    answered = store.get(ASKED)
    if answered is None:
        return None
    spec = provenance.plan.model
    return QueryCounts(answered, None if spec is None else spec.queries)


def _smaller_batches(store: RunStore) -> tuple[SmallerBatch, ...]:
    known = store.get(CASES_AT_ONCE)
    by_shape = known.by_shape if known is not None else {}
    return tuple(
        SmallerBatch(shape, size.settled, size.used)
        for shape, size in by_shape.items()
        if size.is_short
    )


def _passes(store: RunStore, cells: Sequence[Cell]) -> PassCounts:
    """Forward and backward passes of single images: made, and what all cells in full would take."""
    own = running_order(cells)
    totals = [store.totals(cell.key) for cell in own]
    cases = max((found.cases for found in totals), default=0)
    made = sum(found.passes for found in totals)
    full = sum(2 * cell.attack.passes for cell in own) * cases
    return PassCounts(made, float(full))
