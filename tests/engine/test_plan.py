"""Plans: eps as people write them, overrides, and the threshold for a wanted sensitivity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from robust.cases import open_cases
from robust.engine.cells import make_attacks, make_cells, running_order
from robust.engine.inputs import open_plan, threshold_for
from robust.errors import InputError
from robust.models import Classifier, prepare
from robust.plan import load_plan, parse_eps
from robust.plan.load import make_plan
from tests.engine.nets import trained


@pytest.mark.parametrize(
    ("text", "value"),
    [("1/255", 1 / 255), ("0.5/255", 0.5 / 255), ("0.03", 0.03), (0, 0.0), (" 8 / 255 ", 8 / 255)],
)
def test_eps_as_people_write_it(text: object, value: float) -> None:
    assert parse_eps(text) == value


@pytest.mark.parametrize("text", ["one", "1/0", "-1/255", None, "nan"])
def test_eps_that_is_none(text: object) -> None:
    with pytest.raises(ValueError, match="eps"):
        parse_eps(text)


def test_the_title_is_no_part_of_the_plans_identity() -> None:
    a, b = make_plan({"title": "a"}), make_plan({"title": "b"})
    assert a.digest() == b.digest()
    assert a.digest() != make_plan({"audit": {"seed": 1}}).digest()


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


def test_the_threshold_reaches_the_sensitivity_and_no_more() -> None:
    cases = open_cases("phantom:chest_xray", split="val", count=120, pixels=28)
    ready = prepare(Classifier(trained(28), channels=1, head="softmax"))
    x = torch.stack([cases[i].image for i in range(120)])
    y = np.array([entry.label for entry in cases.entries])
    p = ready(x).softmax(1)[:, 1].numpy()
    for wanted in (0.5, 0.8, 0.95):
        threshold = threshold_for(ready, cases, wanted)
        assert (p[y == 1] > threshold).mean() >= wanted
        higher = np.sort(p[y == 1])
        above = higher[higher > threshold][0] + 1e-6
        assert (p[y == 1] > above).mean() < wanted + 1 / 60


def test_a_plan_that_names_a_sensitivity(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file(trained(28).state_dict(), tmp_path / "w.safetensors")
    (tmp_path / "plan.toml").write_text(
        f"""
[model]
factory = "tests.engine.nets:small"
weights = "{tmp_path / "w.safetensors"}"
channels = 1
[data]
path = "phantom:chest_xray"
count = 60
pixels = 28
[audit]
sensitivity = 0.9
"""
    )
    classifier, cases = open_plan(load_plan(tmp_path / "plan.toml"), "cpu")
    assert classifier.threshold != 0.5
    assert (cases.split, len(cases)) == ("test", 60)
