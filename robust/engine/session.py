"""A run that is ready for its attacks: inputs opened and checked, clean images predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attacks import Attack
from robust.cases import Cases
from robust.engine.batch import first_images
from robust.engine.cells import Cell, make_cells
from robust.engine.goal import Goal, goal_of
from robust.engine.provenance import Provenance, find_provenance
from robust.engine.run_memory import HEAD
from robust.engine.run_store import RunStore
from robust.engine.runner import DEFAULT_OPTIONS, Runner, RunOptions
from robust.errors import InputError
from robust.models import Classifier, choose_device, prepare
from robust.models.weights import weights_hash
from robust.plan.spec import Plan
from robust.progress import Progress


@dataclass(frozen=True)
class RunInputs:
    """The classifier, cases and attacks of an audit, with the reference and the surrogate."""

    classifier: Classifier
    cases: Cases
    attacks: Sequence[Attack]
    """One for each `[[attacks]]` table of the plan, in its order."""
    reference: Cases | None = None
    """Cases of the split that detectors learn from."""
    surrogate: Classifier | None = None
    """Another model, on which the images of the transfer attack are made."""


@dataclass(frozen=True)
class Session:
    """Everything that the stages of an audit need of a run."""

    classifier: Classifier
    """Prepared."""
    cases: Cases
    store: RunStore
    runner: Runner
    cells: list[Cell]
    goal: Goal
    provenance: Provenance
    surrogate: Classifier | None
    """Prepared; the transfer attack recognises its head on the cases that it attacks."""
    progress: Progress


def start_session(
    plan: Plan, inputs: RunInputs, store: RunStore, options: RunOptions = DEFAULT_OPTIONS
) -> Session:
    """Claim the store for this run and predict the clean images.

    InputError for inputs that do not fit together, before any attack runs.
    """
    cases, audit = inputs.cases, plan.audit
    goal = goal_of(audit, cases)
    if audit.threshold != 0.5 and len(cases.classes) != 2:
        raise InputError("a threshold applies to two classes only; remove it from [audit]")
    device = choose_device(options.device)
    ready = prepare(inputs.classifier, device, head=store.get(HEAD))
    if ready.head == "auto":
        images = first_images(cases, range(len(cases)), audit.chunk)
        ready = prepare(ready, device, images=images)
    cells = make_cells(plan.attacks, inputs.attacks, audit, len(cases.classes))
    weights = weights_hash(ready)
    surrogate = None if inputs.surrogate is None else prepare(inputs.surrogate, device)
    identity = {
        "plan": plan.digest(),
        "model": f"{weights} {inputs.classifier.describe()}",
        "data": cases.fingerprint(),
        "device": device.type,
    }
    if inputs.reference is not None:
        identity["reference"] = inputs.reference.fingerprint()
    if surrogate is not None:
        identity["surrogate"] = weights_hash(surrogate)
    store.identify(identity)
    runner = Runner(ready, cases, store, audit, options)
    runner.predict_clean()
    provenance = find_provenance(plan, ready, weights, device)
    provenance.save(store)
    return Session(
        classifier=ready,
        cases=cases,
        store=store,
        runner=runner,
        cells=cells,
        goal=goal,
        provenance=provenance,
        surrogate=surrogate,
        progress=options.progress,
    )
