"""Cells: the grid of attacks and eps, and the order in which it runs."""

from __future__ import annotations

import pytest

from robust.engine.cells import make_attacks, make_cells, running_order
from robust.errors import InputError
from robust.plan.load import make_plan


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
    cells = make_cells(plan.attacks, make_attacks(plan.attacks), plan.audit, classes=2)
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
        make_cells(plan.attacks, make_attacks(plan.attacks), plan.audit, classes=2)
