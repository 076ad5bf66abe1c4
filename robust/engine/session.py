"""Everything opened and checked, clean images predicted: a run that is ready for its attacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attacks import Attack
from robust.cases import Cases
from robust.engine.cells import Cell, make_cells
from robust.engine.goal import Goal, goal_of
from robust.engine.provenance import Provenance, remember
from robust.engine.run_store import RunStore
from robust.engine.runner import Progress, Runner
from robust.errors import InputError
from robust.models import Classifier, choose_device, prepare
from robust.models.weights import weights_hash
from robust.plan.spec import Plan


@dataclass
class Session:
    """What a run needs once everything is open; also for writing adversarial images."""

    runner: Runner
    cells: list[Cell]
    goal: Goal
    facts: Provenance
    surrogate: Classifier | None = None
    """Prepared, where the plan names one."""


def start_session(
    plan: Plan,
    attacks: Sequence[Attack],
    classifier: Classifier,
    cases: Cases,
    store: RunStore,
    *,
    device: str,
    skip_broken: bool,
    progress: Progress,
    reference: Cases | None = None,
    surrogate: Classifier | None = None,
) -> Session:
    """Claim the store for this run and predict the clean images; `reference` is what detectors
    learn from, `surrogate` what images are made on that shall transfer.
    """
    goal = goal_of(plan, cases)
    if plan.audit.threshold != 0.5 and len(cases.classes) != 2:
        raise InputError("a threshold has a meaning for two classes only; take it out of [audit]")
    where = choose_device(device)
    ready = prepare(classifier, where)
    make_cells(plan.attacks, attacks, plan.audit, len(cases.classes))  # fails before work begins
    weights = weights_hash(ready)
    other = None if surrogate is None else prepare(surrogate, where)
    store.identify(
        {
            "plan": plan.digest(),
            "model": f"{weights} {ready.describe()}",
            "data": cases.fingerprint(),
            "device": where.type,
            **({"reference": reference.fingerprint()} if reference is not None else {}),
            **({} if other is None else {"surrogate": weights_hash(other)}),
        }
    )
    runner = Runner(
        ready,
        cases,
        store,
        chunk=plan.audit.chunk,
        precision=plan.audit.precision,
        skip_broken=skip_broken,
        progress=progress,
    )
    runner.predict_clean()
    facts = remember(store, plan, ready, weights, where)
    cells = make_cells(plan.attacks, attacks, plan.audit, len(cases.classes))
    return Session(runner, cells, goal, facts, surrogate=other)
