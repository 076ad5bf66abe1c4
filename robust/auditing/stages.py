"""Stages of a run: which of those that its plan asks for are not finished, as its store tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from robust.cases.case import Cases
from robust.engine.cells import Cell
from robust.engine.eligible import right_cases
from robust.engine.run_memory import (
    CERTIFICATES,
    CORRUPTIONS,
    DETECTION,
    PROBE,
    SCENARIOS,
    SURROGATE_OUTPUTS,
    TWIN,
    TWIN_OUTPUTS,
)
from robust.engine.run_store import RunStore
from robust.plan.spec import Plan
from robust.records import STAGES
from robust.scenarios.run import asks_for_scenarios
from robust.storage.survival import is_measured
from robust.tasks.contract import Task


def missing_stages(
    plan: Plan,
    cases: Cases,
    cells: Sequence[Cell],
    store: RunStore,
    ended: Mapping[str, bool],
    task: Task,
) -> tuple[str, ...]:
    """Stages of `STAGES` that the plan asks for and that are not finished.

    `ended` says so of the attacks, the table and the gallery, which leave nothing in the store.
    While attacks are missing, so is everything that follows them.
    """
    attacked = ended["attacks"]
    surrogate = plan.scenarios.surrogate or store.get(SURROGATE_OUTPUTS)
    missing = {
        "attacks": not attacked,
        "detectors": bool(plan.detectors) and (not attacked or store.get(DETECTION) is None),
        "storage": not attacked and any(is_measured(cell) for cell in cells),
        "certificates": bool(plan.certificates)
        and (not attacked or store.get(CERTIFICATES) is None),
        "corruptions": plan.corruptions is not None
        and (not attacked or store.get(CORRUPTIONS) is None),
        "scenarios": asks_for_scenarios(plan.scenarios, surrogate)
        and (not attacked or store.get(SCENARIOS) is None),
        "twin": (plan.twin is not None or store.get(TWIN_OUTPUTS) is not None)
        and (not attacked or store.get(TWIN) is None),
        "probe": plan.doubts.probe and not (attacked and _is_probed(store, cases, task)),
        "table": not ended["table"],
        "gallery": _shows_images(plan, cases) and not ended["gallery"],
    }
    missing["adaptive"] = missing["detectors"] and plan.detection.adaptive > 0
    return tuple(stage for stage in STAGES if missing[stage])


def _is_probed(store: RunStore, cases: Cases, task: Task) -> bool:
    """Whether the probe has run, or there is no case that it could probe."""
    return store.get(PROBE) is not None or not right_cases(store.clean(), cases.entries, task)


def _shows_images(plan: Plan, cases: Cases) -> bool:
    """Whether the plan asks for example images."""
    return cases.showable if plan.report.gallery is None else plan.report.gallery > 0
