"""Checks before a run that the plan can decide each of its gates."""

from __future__ import annotations

from collections.abc import Sequence

from robust.engine.cells import Cell, make_attacks, make_cells
from robust.errors import InputError, did_you_mean
from robust.plan.spec import Plan, label_of
from robust.records.check import BY_EPS
from robust.tasks.classification import ANY_ERROR
from robust.units import format_threat, parse_threat, same_eps


def check_gates(plan: Plan, *, required: bool = False) -> None:
    """InputError where a gate names an eps or a detector that the plan does not have.

    With `required`, a plan without gates is an InputError too.
    """
    gates = plan.gates
    if required and not gates:
        raise InputError(
            "--gate needs gates: write a [gates] table into the plan, for example "
            'robust_accuracy = { "1/255" = 0.6 }'
        )
    for name in BY_EPS:
        wanted = getattr(gates, name)
        if isinstance(wanted, dict):
            cells = make_cells(plan.attacks, make_attacks(plan.attacks), plan.audit, ANY_ERROR)
            for key in wanted:
                _check_eps(name, key, cells, plan.audit.norm)
    detectors = [label_of(spec) for spec in plan.detectors]
    for name in ("detector_auc", "adaptive_auc", "withstands"):
        wanted = getattr(gates, name)
        if wanted is None:
            continue
        _check_detectors(name, wanted, detectors)
        if name != "detector_auc" and not plan.detection.adaptive:
            raise InputError(f"[gates] {name} needs adaptive attacks; [detection] adaptive is 0")


def _check_detectors(name: str, wanted: float | dict[str, float], detectors: Sequence[str]) -> None:
    if not detectors:
        raise InputError(f"[gates] {name} needs a [[detectors]] table")
    for key in wanted if isinstance(wanted, dict) else ():
        if key not in detectors:
            raise InputError(
                f"[gates] {name}: the plan has no detector {key!r}; {did_you_mean(key, detectors)}"
            )


def _check_eps(name: str, key: str, cells: Sequence[Cell], default_norm: str) -> None:
    norm, eps = parse_threat(key, default_norm)
    known = sorted({(c.threat.norm, c.threat.eps) for c in cells if c.eps is not None})
    if not any(norm == one and same_eps(eps, size) for one, size in known):
        there = ", ".join(format_threat(*threat, default_norm) for threat in known) or "none"
        raise InputError(f"[gates] {name}: no attack runs at eps {key}; there are: {there}")
