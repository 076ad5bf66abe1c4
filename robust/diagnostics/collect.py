"""Evidence for the warnings of a report, collected from a finished run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from attacks import ThreatModel
from robust.cases.case import Cases
from robust.diagnostics.evidence import Claim, Evidence, Stuck
from robust.engine.cells import Cell
from robust.engine.provenance import Provenance
from robust.engine.run_memory import PROBE
from robust.engine.run_store import RunStore
from robust.engine.summary import FinishedCases, Summary
from robust.metrics.bootstrap import groups_needed
from robust.metrics.scores import margins
from robust.plan.gates import GatesSpec
from robust.plan.spec import AuditSpec
from robust.records import AttackResult, Detection

RISE = 1e-6
"""Of a typical margin: less is rounding."""


@dataclass(frozen=True)
class RunResults:
    """The results of a run, on the cases that every cell is finished with."""

    provenance: Provenance
    cases: Cases
    """All of them, finished or not."""
    cells: Sequence[Cell]
    store: RunStore
    summary: Summary
    """Of the finished cases that could be read."""
    finished: FinishedCases
    clean: AttackResult
    rows: Sequence[AttackResult]
    worst: Sequence[AttackResult]
    detection: Detection | None = None
    copies: int = 0
    """Images that detectors are evaluated on and that are copies of another one."""


def gather(results: RunResults) -> Evidence:
    """The evidence for `find_flags`; nothing is attacked or predicted here."""
    provenance, cells, summary = results.provenance, results.cells, results.summary
    plan, finished = provenance.plan, results.finished
    failures = Counter(
        reason
        for cell in cells
        for row, reason in results.store.failures(cell.key)
        if row in finished.every_row
    )
    return Evidence(
        cases=summary.cases,
        broken=finished.broken,
        groups=summary.groups,
        head=provenance.model["head"],
        declared_head=provenance.declared_head,
        colour_of_grey=_grey_in_colour(summary.cases),
        clean=results.clean,
        rows=results.rows,
        failures=failures,
        unfinished=len(results.cases) - len(finished.rows) - finished.broken,
        detection=results.detection,
        copies=results.copies,
        worst=results.worst,
        needed=_needed(plan.gates),
        claim=claim_of(provenance),
        seed=plan.audit.seed,
        clipped=_clipped(summary, finished.hashes),
        stepwise=frozenset(cell.label for cell in cells if climbs(cell)),
        stuck=list(_stuck(plan.audit, cells, summary)),
        short=_short(cells),
        probe=results.store.get(PROBE) if plan.doubts.probe else None,
    )


def _grey_in_colour(cases: Cases) -> int:
    """Of the first 16 cases, those that hold a grey image in a colour file."""
    images = [case.image for case in cases[:16]]
    return sum(len(i) == 3 and bool((i[0] == i[1]).all() and (i[0] == i[2]).all()) for i in images)


def _needed(gates: GatesSpec) -> dict[str, int]:
    """By gate the groups without which it could not pass, were every case right."""
    found: dict[str, int] = {}
    for name in ("clean_accuracy", "robust_accuracy", "sensitivity", "specificity"):
        wanted = getattr(gates, name)
        if wanted is not None:
            highest = max(wanted.values()) if isinstance(wanted, Mapping) else wanted
            found[name.replace("_", " ")] = groups_needed(highest)
    return found


def claim_of(provenance: Provenance) -> Claim:
    """The clean accuracy and AUC that the plan claims, or else the folder of a trained model.

    A model card claims accuracy at a threshold of 0.5 alone.
    """
    said, known = provenance.plan.doubts, provenance.model.get("claimed") or {}
    if said.claimed_accuracy is not None or said.claimed_auc is not None:
        return Claim(said.claimed_accuracy, said.claimed_auc)
    half = provenance.model["threshold"] == 0.5
    return Claim(known.get("accuracy") if half else None, known.get("auc"), "its model card")


def _clipped(summary: Summary, hashes: Sequence[str]) -> tuple[int, int]:
    """Different images that share the extreme value of one output exactly, of how many."""
    _, first = np.unique(np.array(hashes), return_index=True)
    logits = summary.clean.logits[first]
    most = 0
    for output in logits.T:
        low, high = output.min(), output.max()
        if low < high:  # the zero beside a single logit is no clip
            most = max(most, int((output == low).sum()), int((output == high).sum()))
    return (most if most > 1 else 0), len(first)


def climbs(cell: Cell) -> bool:
    """Whether the attack takes several gradient steps within an eps."""
    return cell.attack.traits.steps > 1 and not cell.attack.minimum_norm


def _stuck(spec: AuditSpec, cells: Sequence[Cell], summary: Summary) -> Iterator[Stuck]:
    """By threat model the cases whose margin no attack raised; none for a goal with a target.

    All attacks at one eps together: with three classes cross-entropy may rise where the margin
    does not, and then an attack on the margin shows that it could rise.
    """
    if spec.target is not None:
        return
    if spec.goal != "error" and summary.clean.logits.shape[1] > 2:
        return
    before = margins(summary.clean.logits, summary.labels)
    least = RISE * float(np.abs(before).mean())
    together: dict[ThreatModel, list[Cell]] = {}
    for cell in cells:
        if cell.exact and climbs(cell) and cell.same_as is None:
            together.setdefault(cell.threat, []).append(cell)
    for threat, own in together.items():
        conditions = [summary.condition(cell.key) for cell in own]
        judged = np.any([one.attacked & ~one.failed for one in conditions], axis=0)
        risen = np.any(
            [
                one.attacked & ~one.failed & (margins(one.logits, summary.labels) - before > least)
                for one in conditions
            ],
            axis=0,
        )
        names = ", ".join(cell.label for cell in own)
        stuck = int((judged & ~risen).sum())
        yield Stuck(names, threat.norm, threat.eps, stuck, int(judged.sum()))


def _short(cells: Sequence[Cell]) -> dict[str, float]:
    """PGD from a random start whose steps add up to less than 2 eps: by label, to how many eps."""
    travels = {cell.label: cell.attack.traits.travel for cell in cells}
    return {label: travel for label, travel in travels.items() if travel < 2 - 1e-9}
