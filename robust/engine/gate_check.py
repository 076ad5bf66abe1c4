"""Gates that a plan can never judge are refused before it runs."""

from __future__ import annotations

from robust.engine.cells import make_attacks, make_cells
from robust.errors import InputError, did_you_mean
from robust.plan.spec import Plan
from robust.units import format_threat, parse_threat, same_eps


def check_gates(plan: Plan, *, needed: bool = False) -> None:
    """InputError where a gate names an eps or a detector that the plan has not, or where gates are
    needed and there are none.
    """
    gates = plan.gates
    if needed and not gates:
        raise InputError(
            "--gate needs gates: write a [gates] table into the plan, for example "
            'robust_accuracy = { "1/255" = 0.6 }'
        )
    for name in ("robust_accuracy", "sensitivity", "specificity"):
        wanted = getattr(gates, name)
        for key in wanted if isinstance(wanted, dict) else ():
            _check_eps(plan, name, key)
    for name in ("detector_auc", "adaptive_auc", "withstands"):
        wanted = getattr(gates, name)
        if wanted is not None:
            _check_detectors(plan, name, wanted)


def _check_detectors(plan: Plan, name: str, wanted: float | dict[str, float]) -> None:
    known = [spec.label or spec.name for spec in plan.detectors]
    if not known:
        raise InputError(f"[gates] {name} needs a [[detectors]] table")
    for key in wanted if isinstance(wanted, dict) else ():
        if key not in known:
            raise InputError(
                f"[gates] {name}: the plan has no detector {key!r}; {did_you_mean(key, known)}"
            )
    if name != "detector_auc" and not plan.detection.adaptive:
        raise InputError(f"[gates] {name} needs adaptive attacks; [detection] adaptive is 0")


def _check_eps(plan: Plan, name: str, key: str) -> None:
    cells = make_cells(plan.attacks, make_attacks(plan.attacks), plan.audit, classes=2)
    norm, eps = parse_threat(key, plan.audit.norm)
    known = sorted({(c.threat.norm, c.threat.eps) for c in cells if c.eps is not None})
    if not any(norm == own and same_eps(eps, radius) for own, radius in known):
        there = ", ".join(format_threat(*threat, plan.audit.norm) for threat in known) or "none"
        raise InputError(f"[gates] {name}: nothing attacks at eps {key}; there are: {there}")
