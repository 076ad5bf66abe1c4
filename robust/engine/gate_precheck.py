"""Checks before a run that the plan can decide each of its gates."""

from __future__ import annotations

from robust.engine.cells import make_attacks, make_cells
from robust.errors import InputError
from robust.plan.checking.gate_names import check_gate_names, names_sizes
from robust.plan.spec import Plan
from robust.tasks.classification import ANY_ERROR


def check_gates(plan: Plan, *, required: bool = False) -> None:
    """InputError where a gate names what the plan does not have: eps, detector, certificate.

    With `required`, a plan without gates is an InputError too.
    """
    if required and not plan.gates:
        raise InputError(
            "--gate needs gates: write a [gates] table into the plan, for example "
            'robust_accuracy = { "1/255" = 0.6 }'
        )
    sizes = None
    if names_sizes(plan):
        cells = make_cells(plan.attacks, make_attacks(plan.attacks), plan.audit, ANY_ERROR)
        sizes = [(c.threat.norm, c.threat.eps) for c in cells if c.eps is not None]
    check_gate_names(plan, sizes)
