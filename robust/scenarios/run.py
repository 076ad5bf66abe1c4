"""Scenarios that a plan asks for: image-agnostic, transfer and decision-based attacks."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from attacks import ThreatModel
from robust.engine.run_memory import (
    QUERIES,
    SCENARIO,
    SCENARIOS,
    SPATIAL,
    FinishedScenarios,
    Memo,
    ScenarioResult,
)
from robust.engine.session import Session
from robust.errors import InputError
from robust.plan.spec import AuditSpec, ScenariosSpec
from robust.records import Scenario
from robust.scenarios.decision_based import decision_based
from robust.scenarios.holdout import Memoise, make_holdout
from robust.scenarios.patch import patch
from robust.scenarios.spatial import grid_of, spatial
from robust.scenarios.transfer import transfer
from robust.scenarios.universal import universal

T = TypeVar("T")


def check_scenarios(spec: ScenariosSpec) -> None:
    """InputError, before any work, where a scenario needs a library that is not installed."""
    if spec.queries and importlib.util.find_spec("foolbox") is None:
        raise InputError("[scenarios] queries needs foolbox; pip install foolbox")


def asks_for_scenarios(spec: ScenariosSpec, surrogate: object) -> bool:
    """Whether there is any scenario to run; `surrogate` is the other model, or None."""
    asked = spec.universal or spec.patch or spec.spatial or spec.queries
    return bool(asked or surrogate is not None)


def run_scenarios(spec: ScenariosSpec, audit: AuditSpec, session: Session) -> tuple[Scenario, ...]:
    """Every scenario of the plan, at its eps; each is stored as soon as it is finished.

    Empty where fewer than two patients have an eligible case.
    """
    if not asks_for_scenarios(spec, session.surrogate):
        return ()
    found = _run_all(spec, audit, session)
    session.store.memo(SCENARIOS, lambda: FinishedScenarios(found))
    return found


def _run_all(spec: ScenariosSpec, audit: AuditSpec, session: Session) -> tuple[Scenario, ...]:
    surrogate = session.surrogate
    eps = max(audit.eps) if spec.eps is None else spec.eps
    holdout = make_holdout(session, audit.seed, ThreatModel(audit.norm, eps), spec.cases)
    if holdout is None:
        return ()
    progress = session.progress
    found: list[Scenario | None] = []
    single = (spec.spatial is not None) + (surrogate is not None) + bool(spec.queries)
    kinds = len(spec.universal) + len(spec.patch) + single

    def of_chunk(memo: Memo[T], label: str) -> Memoise[T]:
        count, before = len(holdout.chunks()), len(found)

        def memoise(number: int, make: Callable[[], T], /) -> T:
            def made() -> T:
                progress(before + number / count, kinds, label)
                return make()

            return session.store.memo(memo.of(number), made)

        return memoise

    def run(name: str, parameter: object, label: str, make: Callable[[], Scenario | None]) -> None:
        def made() -> ScenarioResult:
            progress(len(found), kinds, label)
            return ScenarioResult(make())

        memo = SCENARIO.of(name, parameter)
        found.append(session.store.memo(memo, made).scenario)

    for images in sorted(spec.universal):
        label = f"universal perturbation from {images} image{'s' * (images > 1)}"
        run("universal", images, label, partial(universal, holdout, images))
    for share in sorted(spec.patch):
        label = f"adversarial patch on {100 * share:g} % of the image"
        run("patch", share, label, partial(patch, holdout, share))
    if surrogate is not None:
        run("transfer", "", "transfer attack", partial(transfer, holdout, surrogate))
    if spec.spatial is not None:
        memoise = of_chunk(SPATIAL, "rotations and shifts")
        found.append(spatial(holdout, grid_of(spec.spatial), memoise))
    if spec.queries:
        found += decision_based(holdout, spec.queries, of_chunk(QUERIES, "decision-based attack"))
    return tuple(one for one in found if one is not None)
