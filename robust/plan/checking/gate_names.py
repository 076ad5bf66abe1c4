"""Whether each gate names what the plan has: eps, detector, certificate."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from robust.errors import InputError, did_you_mean
from robust.plan.spec import Plan, label_of
from robust.records.check import BY_EPS
from robust.units import format_threat, parse_certified, parse_threat, same_eps


def names_sizes(plan: Plan) -> bool:
    """Whether a gate names an eps, so that `check_gate_names` needs those of the attacks."""
    return any(isinstance(getattr(plan.gates, name), dict) for name in BY_EPS)


def check_gate_names(plan: Plan, sizes: Collection[tuple[str, float]] | None) -> None:
    """InputError where a gate names what the plan does not have: eps, detector, certificate.

    `sizes` are the norm and eps of every cell that has a bound; None where they are not known.
    """
    gates = plan.gates
    for name in BY_EPS if sizes is not None else ():
        wanted = getattr(gates, name)
        for key in wanted if isinstance(wanted, dict) else ():
            _check_eps(name, key, sizes or (), plan.audit.norm)
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


def _check_eps(
    name: str, key: str, sizes: Collection[tuple[str, float]], default_norm: str
) -> None:
    norm, eps = parse_threat(key, default_norm)
    if not any(norm == one and same_eps(eps, size) for one, size in sizes):
        known = (format_threat(*threat, default_norm) for threat in sorted(set(sizes)))
        there = ", ".join(known) or "none"
        raise InputError(f"[gates] {name}: no attack runs at eps {key}; there are: {there}")
