"""Attackers who have less than the model, or other means: which a plan asks for, one by one."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable
from functools import partial

from attacks import ThreatModel
from robust.engine.session import Session
from robust.errors import InputError
from robust.plan.spec import Plan, ScenariosSpec
from robust.records import Scenario, build
from robust.scenarios.decision_based import queries
from robust.scenarios.holdout import Holdout, make_holdout
from robust.scenarios.patch import patch
from robust.scenarios.transfer import transfer
from robust.scenarios.universal import universal


def check_scenarios(spec: ScenariosSpec) -> None:
    """InputError before any work for what cannot work."""
    if spec.queries and importlib.util.find_spec("foolbox") is None:
        raise InputError("[scenarios] queries needs foolbox; pip install foolbox")


def run_scenarios(plan: Plan, job: Session) -> tuple[Scenario, ...]:
    """Every scenario of the plan, at its eps; each is stored when it is through.

    Nothing where no two patients are left that are right when clean.
    """
    spec, surrogate = plan.scenarios, job.surrogate
    if not (spec.universal or spec.patch or spec.queries or surrogate):
        return ()
    eps = max(plan.audit.eps) if spec.eps is None else spec.eps
    threat = ThreatModel(plan.audit.norm, eps)
    ground = make_holdout(job.runner, job.goal, plan.audit.seed, threat, spec.cases)
    if ground is None:
        return ()
    found: list[Scenario | None] = []
    for images in sorted(spec.universal):
        found.append(_kept(ground, f"universal|{images}", partial(universal, ground, images)))
    for share in sorted(spec.patch):
        found.append(_kept(ground, f"patch|{share!r}", partial(patch, ground, share)))
    if surrogate is not None:
        found.append(_kept(ground, "transfer", partial(transfer, ground, surrogate)))
    if spec.queries:
        found += queries(ground, spec.queries)
    return tuple(one for one in found if one is not None)


def _kept(ground: Holdout, name: str, make: Callable[[], Scenario | None]) -> Scenario | None:
    def made() -> dict[str, object]:
        found = make()
        return {"scenario": None if found is None else dataclasses.asdict(found)}

    raw = ground.kept(name, made)["scenario"]
    found: Scenario | None = None if raw is None else build(Scenario, raw)
    return found
