"""A run that is ready for its attacks: inputs opened and checked, clean images predicted."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from attacks import Attack
from robust.cases import Cases
from robust.cases.duplicates.merging import MergedGroups, find_merged_groups
from robust.engine.batch import first_images, sample_images
from robust.engine.cells import Cell, make_cells
from robust.engine.database.connection import DAMAGED
from robust.engine.identity.attacks import remember_attacks
from robust.engine.identity.images import require_unchanged
from robust.engine.identity.networks import remember_outputs, require_same_network
from robust.engine.identity.surroundings import resume_surroundings
from robust.engine.provenance import PACKAGES, Provenance, find_provenance, utc_now
from robust.engine.run_memory import (
    ASKED,
    BEGAN,
    CASE_SET,
    CORRUPTION_REFERENCE_OUTPUTS,
    FORMAT_PROOF,
    HEAD,
    MERGED_GROUPS,
    REPAIRED,
    SURROGATE,
    SURROGATE_OUTPUTS,
    TASK,
    TWIN_OUTPUTS,
    CaseSet,
    Memo,
)
from robust.engine.run_store import RunStore
from robust.engine.runner import DEFAULT_OPTIONS, Runner, RunOptions
from robust.errors import InputError
from robust.models import Adapter, choose_device, prepare
from robust.models.environment import find_environment
from robust.models.gradients.gradient_free import require_fitting_attacks
from robust.models.gradients.straight_through import require_met
from robust.models.preparation import image_template
from robust.models.proof import CASES as PROOF_CASES
from robust.models.proof import needs_proof, prove
from robust.models.weights import weights_hash
from robust.plan.spec import Plan
from robust.progress import Progress
from robust.records import FormatProof
from robust.tasks.contract import Task
from robust.tasks.make import task_of

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunInputs:
    """The classifier, cases and attacks of an audit, with the reference and the other models."""

    classifier: Adapter
    cases: Cases
    attacks: Sequence[Attack]
    """One for each `[[attacks]]` table of the plan, in its order."""
    reference: Cases | None = None
    """Cases of the split that detectors learn from."""
    surrogate: Adapter | None = None
    """Another model, on which the images of the transfer attack are made."""
    twin: Adapter | None = None
    """The version of the classifier that is deployed."""
    corruption_reference: Adapter | None = None
    """Another model, whose errors on corrupted images BE and rBE are relative to."""

    @property
    def others(self) -> dict[str, Adapter]:
        """The models beside the audited one, by what they are called."""
        known = {
            "surrogate": self.surrogate,
            "twin": self.twin,
            "reference of corruptions": self.corruption_reference,
        }
        return {name: other for name, other in known.items() if other is not None}


@dataclass(frozen=True)
class Session:
    """Everything that the stages of an audit need of a run."""

    classifier: Adapter
    """Prepared."""
    cases: Cases
    store: RunStore
    runner: Runner
    cells: list[Cell]
    task: Task
    provenance: Provenance
    surrogate: Adapter | None
    """Prepared; the transfer attack recognises its head on the cases that it attacks."""
    twin: Adapter | None
    """Prepared; its head is recognised where it is compared."""
    corruption_reference: Adapter | None
    """Prepared; its head is recognised where it is compared."""
    progress: Progress


def start_session(
    plan: Plan,
    inputs: RunInputs,
    store: RunStore,
    options: RunOptions = DEFAULT_OPTIONS,
    chunks: Collection[int] | None = None,
) -> Session:
    """Claim the store for this run and predict the clean images.

    With `chunks`, those that are attacked here, theirs alone; the other model is not touched then.
    InputError for inputs that do not fit together, before any attack runs.
    """
    cases, audit = inputs.cases, plan.audit
    task = task_of(plan, cases)
    if audit.threshold != 0.5 and task.class_count > 2:
        raise InputError("a threshold applies to two classes only; remove it from [audit]")
    device = choose_device(options.device)
    ready = prepare(inputs.classifier, device)
    cells = make_cells(plan.attacks, inputs.attacks, audit, task)
    require_fitting_attacks(ready, ((cell.label, cell.attack) for cell in cells))
    weights = weights_hash(ready)
    others = {name: prepare(other, device) for name, other in inputs.others.items()}
    identity = _identity(plan, inputs, weights, others, device.type)
    _claim(store, identity, audit.chunk, cases, task)
    _count_queries(ready, store)
    known_files = store.contents("clean").items()
    mine = {row: d for row, d in known_files if chunks is None or row // audit.chunk in chunks}
    require_unchanged(cases, mine, options.progress)
    environment = resume_surroundings(find_environment(device, PACKAGES), store)
    if ready.head == "auto":
        known = store.get(HEAD)
        images = None if known else first_images(cases, range(len(cases)), audit.chunk)
        ready = prepare(ready, device, images=images, head=known)
    _require_replaced(ready, cases)
    proof = _prove(ready, cases, store)
    require_same_network(ready, cases, task, list(islice(store.clean(), audit.chunk)))
    ready.origin.asks_for("clean predictions")
    runner = Runner(ready, cases, store, audit, options, task)
    runner.predict_clean(chunks)
    if runner.has_predicted_all():
        merged = store.memo(MERGED_GROUPS, lambda: _copies(cases, store))
        runner.cases = merged.applied(runner.cases)
    outputs = {
        "surrogate": SURROGATE_OUTPUTS,
        "twin": TWIN_OUTPUTS,
        "reference of corruptions": CORRUPTION_REFERENCE_OUTPUTS,
    }
    for name, memo in outputs.items():
        if name in others and chunks is None:
            _prove_other(others[name], runner.cases, store, name)
            remember_outputs(others[name], runner.cases, store, memo, name)
    if "surrogate" in others and chunks is None:
        store.memo(SURROGATE, others["surrogate"].describe)
    remember_attacks(plan.attacks, inputs.attacks, task.class_count, store)
    provenance = find_provenance(plan, ready, weights, environment, proof)
    provenance.save(store)
    return Session(
        classifier=ready,
        cases=runner.cases,
        store=store,
        runner=runner,
        cells=cells,
        task=task,
        provenance=provenance,
        surrogate=others.get("surrogate"),
        twin=others.get("twin"),
        corruption_reference=others.get("reference of corruptions"),
        progress=options.progress,
    )


def _count_queries(ready: Adapter, store: RunStore) -> None:
    """Go on counting the queries of a black box where the store has come to."""
    queries = ready.origin.queries
    if queries is not None:
        known = store.get(ASKED)
        queries.resume(known or {}, lambda now: store.put(ASKED, dict(now)))
        queries.purpose = "head, and the same model as before"


def _prove(
    ready: Adapter, cases: Cases, store: RunStore, memo: Memo[FormatProof] = FORMAT_PROOF
) -> FormatProof | None:
    """The proof of a classifier's format on a few of the cases, once a run; None: it needs none."""
    if not needs_proof(ready.origin):
        return None
    return store.memo(memo, lambda: prove(ready, sample_images(cases, PROOF_CASES)))


def _require_replaced(ready: Adapter, cases: Cases) -> None:
    """InputError where a part that gradients are to pass is not met on the first image."""
    if ready.straight_through:
        x = first_images(cases, range(len(cases)), 1)
        if x is not None:
            given = ready.network_input(x.to(image_template(ready)))
            require_met(ready.network, ready.straight_through, given)


def _prove_other(other: Adapter, cases: Cases, store: RunStore, name: str) -> None:
    """The same for another model, whose head is recognised when it is used; InputError."""
    if not needs_proof(other.origin):
        return
    images = first_images(cases, range(len(cases)), PROOF_CASES)
    try:
        _prove(
            prepare(other, other.mean.device, images=images),
            cases,
            store,
            FORMAT_PROOF.of(name),
        )
    except InputError as error:
        raise InputError(f"the {name} does not fit: {error}") from None


def identity_of_run(plan: Plan, inputs: RunInputs, device: str = "auto") -> dict[str, str]:
    """What a run of this plan on these inputs is claimed with: whose it is."""
    chosen = choose_device(device)
    others = {name: prepare(other, chosen) for name, other in inputs.others.items()}
    weights = weights_hash(prepare(inputs.classifier, chosen))
    return _identity(plan, inputs, weights, others, chosen.type)


def _identity(
    plan: Plan, inputs: RunInputs, weights: str, others: Mapping[str, Adapter], device: str
) -> dict[str, str]:
    """The same, of the hash of the classifier's weights and the other models, prepared."""
    identity = {
        "plan": plan.digest(),
        "model": f"{weights} {inputs.classifier.describe()}",
        "data": inputs.cases.fingerprint(),
        "findings": str(tuple(inputs.cases.findings)),
        "device": device,
    }
    if inputs.reference is not None:
        identity["reference"] = inputs.reference.fingerprint()
    for name, other in inputs.others.items():
        identity[name] = f"{weights_hash(others[name])} {other.describe()}"
    return identity


def _copies(cases: Cases, store: RunStore) -> MergedGroups:
    """The copies among the predicted cases."""
    pixels = {one.row: one.pixels for one in store.clean()}
    return find_merged_groups(cases, store.fingerprints("clean"), pixels)


def note_damage(store: RunStore, chunk: int, cases: int, where: str = "") -> None:
    """Say what was damaged in a store that has just been claimed, and count it for the report.

    `chunk` is the cases of a chunk, of so many `cases`; `where` comes before each line.
    """
    if store.damage is None:
        return
    for line in store.damage.lines(chunk, cases):
        _log.warning("robust: %s%s", where, line)
    _log.warning("robust: %sthe damaged run file is kept as %s", where, DAMAGED)
    again = max(1, len(store.damage.chunks))
    store.put(REPAIRED, (store.get(REPAIRED) or 0) + again)


def _claim(
    store: RunStore, identity: Mapping[str, str], chunk: int, cases: Cases, task: Task
) -> None:
    """Claim the store and verify what it holds; damage is said, and runs again."""
    store.identify(identity)
    note_damage(store, chunk, len(cases))
    case_set = CaseSet(
        source=cases.source,
        classes=tuple(cases.classes),
        count=len(cases),
        findings=tuple(cases.findings),
        grouped=cases.grouped,
        phantom=cases.phantom,
        split=cases.split,
        noun=cases.noun,
        showable=cases.showable,
        notes=cases.notes,
        outlines=cases.outlines,
    )
    store.memo(CASE_SET, lambda: case_set)
    store.memo(TASK, lambda: task.record)
    store.memo(BEGAN, utc_now)
