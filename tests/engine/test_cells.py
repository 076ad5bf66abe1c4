"""Cells of a plan: every attack at every eps, what runs in full, and what runs once for two."""

from __future__ import annotations

from typing import Any

import pytest

from attacks import Attack
from robust.engine.cells import Cell, make_attacks, make_cells, running_order
from robust.errors import InputError
from robust.plan.load import make_plan
from robust.plan.spec import AttackSpec, AuditSpec
from tests.tasks.questions import classification


def cells(*specs: dict[str, Any], classes: int = 2, **audit: Any) -> list[Cell]:
    made = [AttackSpec(**spec) for spec in specs]
    return make_cells(made, make_attacks(made), AuditSpec(**audit), classification(classes))


def test_an_attack_of_one_step_always_runs_in_full() -> None:
    """It may fell a case at a small eps and not at a larger one, so its own row is worth having."""
    found = cells({"name": "FGSM"}, {"name": "PGD"}, eps=[0.1], cells="curve")
    assert [(cell.label, cell.exact) for cell in found] == [("FGSM", True), ("PGD", False)]


def test_what_does_the_same_runs_once() -> None:
    pgd = {"name": "PGD", "steps": 20, "step_size": 0.1, "schedule": "constant", "start": "image"}
    for classes, twin in ((2, "MarginPGD"), (3, None)):
        found = cells({"name": "MarginPGD"}, pgd, classes=classes, eps=[0.1])
        assert [cell.same_as for cell in found] == [None, twin]
        assert len(running_order(found)) == (1 if twin else 2)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("CW", "MarginPGD"),
        ("Standard", "AutoAttack"),
        ("MinimumDistance", "MinimumNormEnsemble"),
        ("KappaPGD", "ConfidencePGD"),
    ],
)
def test_a_plan_with_a_former_name_gives_one_line(old: str, new: str) -> None:
    with pytest.raises(InputError, match=f"^{old} is now called {new}$"):
        make_attacks([AttackSpec(name=old)])


def test_what_is_no_attack_is_refused_with_what_it_lacks() -> None:
    class Bare:
        norms = ("Linf",)
        minimum_norm = False
        passes = 1

        def __call__(self, *given: Any) -> Any:
            return given[1]

    bare: Any = Bare()
    made: list[Attack] = [bare]
    with pytest.raises(InputError, match="Bare is not an attack: it has no knowledge, traits, str"):
        make_cells([AttackSpec(name="Bare")], made, AuditSpec(eps=[0.1]), classification(2))


def test_cells_follow_the_plan_and_run_from_cheap_to_dear() -> None:
    plan = make_plan(
        {
            "attacks": [
                {"name": "CarliniWagnerL2", "steps": 5},
                {"name": "PGD", "cells": "curve"},
                {"name": "FGSM", "cells": "curve"},
                {"name": "PGD", "label": "PGD L2", "norm": "L2", "eps": [0.5]},
            ],
            "audit": {"eps": ["2/255", "1/255"]},
        }
    )
    cells = make_cells(plan.attacks, make_attacks(plan.attacks), plan.audit, classification(2))
    assert [(c.label, c.eps, c.exact) for c in cells] == [
        ("CarliniWagnerL2", None, True),
        ("PGD", 1 / 255, False),
        ("PGD", 2 / 255, False),
        ("FGSM", 1 / 255, True),
        ("FGSM", 2 / 255, True),
        ("PGD L2", 0.5, True),
    ]
    order = running_order(cells)
    assert [c.exact for c in order] == [True] * 4 + [False] * 2
    assert [c.label for c in order[:2]] == ["FGSM", "FGSM"]


def test_two_rows_of_one_name_are_refused() -> None:
    plan = make_plan({"attacks": [{"name": "PGD"}, {"name": "PGD", "steps": 40}]})
    with pytest.raises(InputError, match="give each its own label"):
        make_cells(plan.attacks, make_attacks(plan.attacks), plan.audit, classification(2))
