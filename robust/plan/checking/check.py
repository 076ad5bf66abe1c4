"""Checks a plan without torch: its fields, the names of attacks and detectors, and its gates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from robust.errors import InputError, did_you_mean
from robust.plan.checking.gate_names import check_gate_names
from robust.plan.checking.registered import Package, RegisteredClass, registered
from robust.plan.code import names_code
from robust.plan.load import load_plan
from robust.plan.paths import check_paths
from robust.plan.spec import AttackSpec, DetectorSpec, Plan, unique_labels

_FOOLBOX = "foolbox:"
"""Before the name of an attack of that library, whose fields are not known here."""


def check_plan_file(path: Path, *, files: bool = False) -> Plan:
    """The plan in a file; InputError with its first mistake. No code that it names is run.

    With `files`, also where a file that it names is missing. Values of an attack's own fields are
    checked only when an audit makes the attack.
    """
    plan = load_plan(path, allow_code=True)
    try:
        _check_fields(plan.attacks, "attacks")
        _check_fields(plan.detectors, "detectors")
        unique_labels(plan.attacks)
        check_gate_names(plan, _sizes(plan))
        if files:
            check_paths(plan)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return plan


def _check_fields(specs: Sequence[AttackSpec | DetectorSpec], package: Package) -> None:
    kind = package.removesuffix("s")
    known = registered(package)
    for spec in specs:
        if names_code(spec.name) or spec.name.startswith(_FOOLBOX):
            continue
        if spec.name not in known:
            raise InputError(f"unknown {kind} {spec.name!r}; {did_you_mean(spec.name, known)}")
        for field in spec.fields():
            names = known[spec.name].fields
            if field not in names:
                hint = did_you_mean(field, names)
                raise InputError(f"{spec.name} has no field {field!r}; {hint}")


def _sizes(plan: Plan) -> set[tuple[str, float]] | None:
    """Norm and eps of every attack with a bound; None where one is code, whose norm is its own."""
    known = registered("attacks")
    found: set[tuple[str, float]] = set()
    for spec in plan.attacks:
        if spec.name not in known:
            return None
        one = known[spec.name]
        if one.constants.get("minimum_norm"):
            continue
        norm = spec.norm or _own_norm(one, plan.audit.norm)
        sizes = spec.eps or (plan.audit.eps if norm == plan.audit.norm else ())
        found |= {(norm, eps) for eps in sizes}
    return found


def _own_norm(one: RegisteredClass, wanted: str) -> str:
    """The norm that an attack works in where the plan gives it none, as in `make_cells`."""
    norms = one.constants.get("norms") or (wanted,)
    return wanted if wanted in norms else str(norms[0])
