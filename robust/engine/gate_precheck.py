"""Checks before a run that the plan can decide each of its gates."""

from __future__ import annotations

from collections.abc import Sequence

from robust.engine.cells import Cell, make_attacks, make_cells
from robust.errors import InputError, did_you_mean
from robust.plan.spec import Plan, label_of
from robust.records.check import BY_EPS
from robust.tasks.classification import ANY_ERROR
from robust.units import format_threat, parse_certified, parse_threat, same_eps


def check_gates(plan: Plan, *, required: bool = False) -> None:
    """InputError where a gate names what the plan does not have: eps, detector, certificate.

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
    _check_certificates(plan)
    if gates.corrupted_accuracy is not None and plan.corruptions is None:
        raise InputError("[gates] corrupted_accuracy needs a [corruptions] table")
    detectors = [label_of(spec) for spec in plan.detectors]
    for name in ("detector_auc", "adaptive_auc", "withstands"):
        wanted = getattr(gates, name)
        if wanted is None:
            continue
        _check_detectors(name, wanted, detectors)
        if name != "detector_auc" and not plan.detection.adaptive:
            raise InputError(f"[gates] {name} needs adaptive attacks; [detection] adaptive is 0")


def _check_certificates(plan: Plan) -> None:
    """InputError where a gate is on a certificate, or on an eps of it, that the plan has not."""
    wanted = plan.gates.certified_accuracy
    if wanted is None:
        return
    specs = {spec.label or spec.name: spec for spec in plan.certificates}
    if not specs:
        raise InputError("[gates] certified_accuracy needs a [[certificates]] table")
    for key in wanted if isinstance(wanted, dict) else ():
        name, _, eps = parse_certified(key)
        if name and name not in specs:
            raise InputError(
                f"[gates] certified_accuracy: the plan has no certificate {name!r}; "
                f"{did_you_mean(name, specs)}"
            )
        own = [specs[name]] if name else list(specs.values())
        sizes = [size for spec in own for size in spec.eps or ()]
        if all(spec.eps for spec in own) and not any(same_eps(eps, size) for size in sizes):
            raise InputError(
                f"[gates] certified_accuracy: no certificate reports eps {key}; name it in eps of "
                "[[certificates]]"
            )


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
