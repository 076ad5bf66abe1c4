"""From a run to the evidence that doubts are raised from: nothing is attacked or predicted here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from attacks import ThreatModel
from robust.cases.case import Cases
from robust.diagnostics.evidence import Claim, Evidence, Stuck
from robust.diagnostics.probe import probed
from robust.engine.cells import Cell
from robust.engine.provenance import Provenance
from robust.engine.run_store import RunStore
from robust.engine.summary import Summary
from robust.metrics.bootstrap import groups_needed
from robust.metrics.scores import margins
from robust.plan.spec import Plan
from robust.records import AttackResult, Detection

RISE = 1e-6
"""Of a typical margin: less is rounding."""


def gather(
    facts: Provenance,
    cases: Cases,
    cells: Sequence[Cell],
    store: RunStore,
    summary: Summary,
    *,
    clean: AttackResult,
    rows: Sequence[AttackResult],
    worst: Sequence[AttackResult],
    finished: set[int],
    broken: int,
    hashes: Sequence[str],
    detection: Detection | None,
    copies: int,
) -> Evidence:
    """`hashes` are those of the finished cases' pixels, in their order."""
    good = summary.rows.tolist()
    failures = Counter(
        reason for cell in cells for row, reason in store.failures(cell.key) if row in finished
    )
    looked_at = [cases[row].image for row in good[:16]]
    grey = sum(
        len(i) == 3 and bool((i[0] == i[1]).all() and (i[0] == i[2]).all()) for i in looked_at
    )
    return Evidence(
        cases=summary.cases,
        broken=broken,
        groups=summary.groups,
        head=facts.model["head"],
        declared_head=facts.declared_head,
        colour_of_grey=grey,
        clean=clean,
        rows=rows,
        failures=failures,
        unfinished=len(cases) - len(good) - broken,
        detection=detection,
        copies=copies,
        worst=worst,
        needed=_needed(facts.plan),
        claim=claim_of(facts),
        seed=facts.plan.audit.seed,
        clipped=_clipped(summary, hashes),
        stepwise=frozenset(cell.label for cell in cells if climbs(cell)),
        stuck=list(_stuck(facts.plan, cells, summary)),
        short=_short(cells),
        probe=probed(facts.plan, store),
    )


def _needed(plan: Plan) -> dict[str, int]:
    gates = plan.gates
    found: dict[str, int] = {}
    for name in ("clean_accuracy", "robust_accuracy", "sensitivity", "specificity"):
        wanted = getattr(gates, name)
        if wanted is not None:
            highest = max(wanted.values()) if isinstance(wanted, Mapping) else wanted
            found[name.replace("_", " ")] = groups_needed(highest)
    return found


def claim_of(facts: Provenance) -> Claim:
    """What the plan says, or else what the folder of a trained model does; accuracy is claimed at
    a threshold of a half.
    """
    said, known = facts.plan.doubts, facts.model.get("claimed") or {}
    if said.claimed_accuracy is not None or said.claimed_auc is not None:
        return Claim(said.claimed_accuracy, said.claimed_auc)
    half = facts.model["threshold"] == 0.5
    return Claim(known.get("accuracy") if half else None, known.get("auc"), "its model card")


def _clipped(summary: Summary, hashes: Sequence[str]) -> tuple[int, int]:
    """Different images that share an extreme value of some output exactly, the most of any."""
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


def _stuck(plan: Plan, cells: Sequence[Cell], summary: Summary) -> Iterator[Stuck]:
    """Of attacks that climb to any wrong label: with a target another margin counts.

    All attacks at one eps together: with three classes cross-entropy may rise where the margin
    does not, and then an attack on the margin shows that there was a way.
    """
    if plan.audit.target is not None:
        return
    if plan.audit.goal != "error" and summary.clean.logits.shape[1] > 2:
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
    travels = {cell.label: cell.attack.traits.travel for cell in cells}
    return {label: travel for label, travel in travels.items() if travel < 2 - 1e-9}
