"""What a store holds to its Report: rows, doubts, and what is needed to repeat it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from attacks import Attack
from robust.cases.case import Cases
from robust.detection.feature_log import FeatureLog
from robust.diagnostics.checks import find_flags
from robust.diagnostics.collect import gather
from robust.diagnostics.evidence import Probed
from robust.engine.accuracy_curve import every_eps
from robust.engine.cells import Cell, running_order
from robust.engine.provenance import Provenance
from robust.engine.run_store import RunStore
from robust.engine.summary import Summary
from robust.errors import InputError
from robust.records import (
    AppliedAcceleration,
    AuditedData,
    AuditedModel,
    Detection,
    Exhibit,
    PassCounts,
    ProbeCost,
    Report,
    Scenario,
    Timings,
    build,
)
from robust.storage.survival import survivals

MakeGallery = Callable[[Summary], tuple[Exhibit, ...]]


def no_gallery(summary: Summary) -> tuple[Exhibit, ...]:
    """No pictures."""
    return ()


def make_report(
    facts: Provenance,
    cases: Cases,
    cells: Sequence[Cell],
    store: RunStore,
    *,
    table: str,
    seconds: float,
    watch: FeatureLog | None = None,
    detection: Detection | None = None,
    scenarios: tuple[Scenario, ...] = (),
    gallery: MakeGallery = no_gallery,
) -> Report:
    """The report on all cases whose cells are finished; on a finished run that is every case.

    `table` is the hash of outcomes.csv, `seconds` the time that this call took.
    InputError where no case is finished.
    """
    plan = facts.plan
    finished = _finished(store, cells, plan.audit.chunk)
    good, logits, hashes, broken = [], [], [], 0
    for one in store.clean():
        if one.row in finished:
            if one.logits is None:
                broken += 1
                continue
            good.append(one.row)
            logits.append(one.logits)
            hashes.append(one.pixels)
    if not good:
        raise InputError("no case is finished yet; look again later, or give the audit again")
    values = cases[good[0]].image.numel()
    summary = Summary(
        store,
        cases,
        cells,
        good,
        np.stack(logits),
        pixels=values,
        seed=plan.audit.seed,
    )
    clean, rows = summary.clean_row(), summary.cell_rows()
    worst = summary.worst_rows(plan.audit.norm)
    evidence = gather(
        facts,
        cases,
        cells,
        store,
        summary,
        clean=clean,
        rows=rows,
        worst=worst,
        finished=finished,
        broken=broken,
        hashes=hashes,
        detection=detection,
        copies=watch.copies if watch else 0,
    )
    counts = Counter(entry.label for entry in summary.cases.entries)
    return Report(
        title=plan.title,
        clean=clean,
        results=tuple(rows),
        worst_cases=tuple(worst),
        difficulty=tuple(summary.difficulty(rows)),
        flags=find_flags(evidence),
        plan=plan.model_dump(mode="json"),
        model=build(AuditedModel, facts.model),
        data=AuditedData(
            source=cases.source,
            split=cases.split,
            cases=len(good),
            groups=summary.groups,
            classes={name: counts[i] for i, name in enumerate(cases.classes)},
            findings=tuple(cases.classes[i] for i in cases.findings),
            images=plan.report.images or cases.noun,
            synthetic=cases.phantom,
            grouped=cases.grouped,
            skipped_broken=broken,
            unfinished=len(cases) - len(good) - broken,
            values_per_image=values,
            index_sha256=cases.fingerprint(),
            pixels_sha256=hashlib.sha256("".join(hashes).encode()).hexdigest(),
        ),
        environment=facts.environment,
        table_sha256=table,
        timings=Timings(
            seconds=round(seconds, 3),
            by_cell=store.seconds(),
            passes=_passes(store, cells),
            acceleration=build(AppliedAcceleration | None, store.get_json("speed")),
            probe=_cost(evidence.probe),
        ),
        attacks={cell.label: _described(cell.attack) for cell in cells},
        gallery=gallery(summary),
        detection=detection,
        scenarios=scenarios,
        accuracy_curves=every_eps(cells, summary),
        survival=survivals(store, cells, summary),
    )


def _finished(store: RunStore, cells: Sequence[Cell], chunk: int) -> set[int]:
    """Rows of the chunks that every cell is through with."""
    done = store.done()
    keys = [cell.key for cell in running_order(cells)]
    whole = [n for key, n in done if key == "clean" and all((k, n) in done for k in keys)]
    return {row for n in whole for row in range(n * chunk, (n + 1) * chunk)}


def _passes(store: RunStore, cells: Sequence[Cell]) -> PassCounts:
    """Forward and backward passes of single images: made, and what all cells in full would take."""
    own = running_order(cells)
    totals = [store.totals(cell.key) for cell in own]
    cases = max((found.cases for found in totals), default=0)
    made = sum(found.passes for found in totals)
    full = sum(2 * cell.attack.passes for cell in own) * cases
    return PassCounts(made, float(full))


def _cost(probe: Probed | None) -> ProbeCost | None:
    return None if probe is None else ProbeCost(probe.cases, probe.passes, probe.seconds)


def _described(attack: Attack) -> str:
    """With its parameters; what is no dataclass may print an address, which no two runs share."""
    return repr(attack) if dataclasses.is_dataclass(attack) else type(attack).__name__
