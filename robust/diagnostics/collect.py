"""Evidence for the warnings of a report, collected from a finished run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from attacks import ThreatModel
from robust.cases.case import Cases
from robust.diagnostics.answer_form import (
    AnswerForm,
    answer_form,
    answered_scores,
    clipped_probabilities,
)
from robust.diagnostics.evidence import Claim, CleanOutlines, Evidence, Stuck
from robust.engine.cells import Cell
from robust.engine.provenance import Provenance
from robust.engine.run_memory import MERGED_GROUPS, PROBE, SURROGATE
from robust.engine.run_store import RunStore
from robust.engine.sharding.again import workers_of
from robust.engine.summary import FinishedCases, Summary
from robust.metrics.arrays import Array, Mask
from robust.metrics.intervals import groups_needed
from robust.metrics.outlines.kept import KeptScores
from robust.metrics.scores import Condition
from robust.plan.gates import GatesSpec
from robust.plan.spec import AuditSpec
from robust.records import (
    AttackResult,
    CertifiedAccuracy,
    CopiedImages,
    Detection,
    Twin,
    Workers,
)

FEW_IMAGES = 4
"""Of fewer, logits may all lie in [0, 1] by chance."""
MIN_RISE = 1e-6
"""Smallest rise of a margin that counts, as a share of the mean clean margin; less is rounding."""


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
    twin: Twin | None = None
    certificates: Sequence[CertifiedAccuracy] = ()
    grey_in_colour: int = 0
    """Number of the images looked at that are grey in a colour file."""
    brightest: float = 1.0
    """The highest value of all images, in [0, 1] as displayed."""
    missing_stages: tuple[str, ...] = ()
    """Stages that the run has not finished."""

    @property
    def workers(self) -> Workers | None:
        """Who attacked the cases, where others than the process of the run did."""
        return workers_of(self.store, self.provenance.plan.audit.seed)

    @property
    def copies(self) -> CopiedImages:
        """The copies among the audited images."""
        merged = self.store.get(MERGED_GROUPS)
        return CopiedImages() if merged is None else merged.copies


def collect_evidence(results: RunResults) -> Evidence:
    """The evidence for `find_flags`; nothing is attacked or predicted here."""
    provenance, cells, summary = results.provenance, results.cells, results.summary
    plan, finished, workers = provenance.plan, results.finished, results.workers
    head, threshold = provenance.model["head"], float(provenance.model["threshold"])
    by_class = not summary.task.record.is_segmentation
    answers = _of_different_images(summary, finished.hashes)
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
        head=head,
        declared_head=provenance.declared_head,
        differentiable=provenance.differentiable,
        grey_in_colour=results.grey_in_colour,
        brightest=results.brightest,
        notes=results.cases.notes,
        clean=results.clean,
        rows=results.rows,
        failures=failures,
        unfinished=len(results.cases) - len(finished.rows) - finished.broken,
        missing_stages=results.missing_stages,
        predicted=_predicted(summary) if by_class else {},
        outlines=None if by_class else _outlines(summary),
        windows=_windows(results.store, provenance),
        detection=results.detection,
        twin=results.twin,
        certificates=results.certificates,
        copies=results.copies,
        worst=results.worst,
        groups_needed=_groups_needed(plan.gates),
        claim=claim_of(provenance),
        seed=plan.audit.seed,
        within_one=by_class and _within_one(summary, head, threshold),
        form=answer_form(answers, head, threshold) if by_class else AnswerForm(),
        declared_labels=provenance.model.get("answers") == "labels",
        grey_levels=provenance.model.get("grey_levels"),
        clipped=_clipped(answers, head, threshold) if by_class else (0, 0),
        replaced=tuple(provenance.model.get("straight_through", ())),
        eot=plan.audit.eot,
        averaging=frozenset(c.label for c in cells if c.attack.traits.averaging is not None),
        iterative=frozenset(cell.label for cell in cells if is_iterative(cell)),
        stuck=list(_stuck(plan.audit, cells, summary)),
        saturated=list(_saturated(plan.audit, cells, results.store, summary)),
        short_reach=_short_reach(cells),
        probe=results.store.get(PROBE) if plan.doubts.probe else None,
        again=None if workers is None else workers.again,
    )


def _predicted(summary: Summary) -> dict[int, int]:
    """How many clean images are read as each class."""
    classes, counts = np.unique(summary.clean.kept.argmax(1), return_counts=True)
    return dict(zip(classes.tolist(), counts.tolist(), strict=True))


def _groups_needed(gates: GatesSpec) -> dict[str, int]:
    """By gate: the fewest groups with which it could pass if every case were correct."""
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
    plan, model_card = provenance.plan.doubts, provenance.model.get("claimed") or {}
    if plan.claimed_accuracy is not None or plan.claimed_auc is not None:
        return Claim(plan.claimed_accuracy, plan.claimed_auc)
    half = provenance.model["threshold"] == 0.5
    return Claim(
        model_card.get("accuracy") if half else None, model_card.get("auc"), "its model card"
    )


def _within_one(summary: Summary, head: str, threshold: float) -> bool:
    """Whether all outputs that are read as logits lie in [0, 1], on more than a few images."""
    if head == "probabilities" or len(summary.clean.kept) < FEW_IMAGES:
        return False
    outputs = answered_scores(summary.clean.kept, head, threshold)
    return bool(((outputs >= -1e-6) & (outputs <= 1 + 1e-6)).all())


def _outlines(summary: Summary) -> CleanOutlines:
    scores = KeptScores(summary.clean.kept)
    names = summary.task.record.structures
    return CleanOutlines(names, scores.true_volume, scores.predicted_volume)


def _windows(store: RunStore, provenance: Provenance) -> tuple[str, str] | None:
    """Of a transfer attack and of the audited model, as texts."""
    surrogate = store.get(SURROGATE)
    if surrogate is None or "window" not in provenance.model:
        return None
    return _window_text(surrogate), _window_text(provenance.model)


def _window_text(model: Mapping[str, Any]) -> str:
    sides = model.get("window")
    if sides is None:
        return "the whole image"
    side = sides[0] if len(set(sides)) == 1 else " x ".join(map(str, sides))
    return f"windows of {side} pixels, overlap {model.get('overlap')}, {model.get('blend')} weights"


def _clipped(logits: Array, head: str, threshold: float) -> tuple[int, int]:
    """Number of different images with the same extreme value of an output, and of all of them."""
    if head == "probabilities":
        logits = clipped_probabilities(logits, head, threshold)
    most = 0
    for output in logits.T:
        output = output[~np.isnan(output)]
        if not len(output):
            continue
        low, high = output.min(), output.max()
        if low < high:  # the zero beside a single logit is no clip
            most = max(most, int((output == low).sum()), int((output == high).sum()))
    return (most if most > 1 else 0), len(logits)


def _of_different_images(summary: Summary, hashes: Sequence[str]) -> Array:
    """Clean logits `(n, k)`, of the first of several images with the same pixels."""
    _, first = np.unique(np.array(hashes), return_index=True)
    found: Array = summary.clean.kept[first]
    return found


def is_iterative(cell: Cell) -> bool:
    """Whether the attack takes several gradient steps within an eps."""
    return cell.attack.traits.steps > 1 and not cell.attack.minimum_norm


def _stuck(spec: AuditSpec, cells: Sequence[Cell], summary: Summary) -> Iterator[Stuck]:
    """By threat model: cases whose margin no attack raised.

    All attacks at one eps together: with three classes cross-entropy may rise where the margin
    does not, and then an attack on the margin shows that it could rise.
    """
    if not _any_error(spec, summary):
        return
    rises = _rise(summary)
    by_threat: dict[ThreatModel, list[Cell]] = {}
    for cell in cells:
        # Where the attack may change nothing, nothing rises.
        if cell.exact and is_iterative(cell) and cell.same_as is None and cell.threat.eps > 0:
            by_threat.setdefault(cell.threat, []).append(cell)
    for threat, own in by_threat.items():
        conditions = [summary.condition(cell.key) for cell in own]
        evaluated = np.any([one.evaluated for one in conditions], axis=0)
        risen = np.any([rises(one) for one in conditions], axis=0)
        names = ", ".join(cell.label for cell in own)
        stuck = int((evaluated & ~risen).sum())
        yield Stuck(names, threat.norm, threat.eps, stuck, int(evaluated.sum()))


def _saturated(
    spec: AuditSpec, cells: Sequence[Cell], store: RunStore, summary: Summary
) -> Iterator[Stuck]:
    """By attack: cases whose cross-entropy saturated, and whose margin the attack did not raise."""
    if not _any_error(spec, summary):
        return
    rises = _rise(summary)
    for cell in cells:
        if cell.same_as is not None or cell.attack.minimum_norm:
            continue
        if not store.totals(cell.key).saturated:  # so that outcomes are rarely read again
            continue
        rows = {o.row for o in store.outcomes(cell.key) if o.saturated}
        saturated = np.array([row in rows for row in summary.rows])
        condition = summary.condition(cell.key)
        stuck = condition.evaluated & saturated & ~condition.success & ~rises(condition)
        found = int(stuck.sum()), int(condition.evaluated.sum())
        yield Stuck(cell.label, cell.threat.norm, cell.threat.eps, *found)


def _any_error(spec: AuditSpec, summary: Summary) -> bool:
    """Whether a larger margin is nearer to the goal; it need not be with a target."""
    error = spec.goal == "error" or summary.clean.kept.shape[1] == 2
    return spec.target is None and error


def _rise(summary: Summary) -> Callable[[Condition], Mask]:
    """Tells of a condition which cases `(n,)` have a margin that rose by more than rounding."""
    before = summary.damage(summary.clean.kept)
    least = MIN_RISE * float(np.abs(before).mean())

    def rises(condition: Condition) -> Mask:
        rise = summary.damage(condition.kept) - before
        return np.asarray(condition.evaluated & (rise > least))

    return rises


def _short_reach(cells: Sequence[Cell]) -> dict[str, float]:
    """By label: the sum of the steps in eps, of attacks with a random start where it is below 2."""
    travels = {cell.label: cell.attack.traits.travel for cell in cells}
    return {label: travel for label, travel in travels.items() if travel < 2 - 1e-9}
