"""Values of the command line over a plan or a recipe: options, `--set`, and what cannot be set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from robust.cli.plan_options.overrides import parse_settings, plan_from
from robust.errors import InputError
from robust.plan.load import make_plan
from robust.plan.overlay import lay_over
from robust.plan.spec import Plan
from robust.training.recipe import Recipe
from tests.cli.commands import Robust, refused, write_plan


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("audit.eps=1/255", "audit.eps", ["1/255"]),
        ("audit.eps = 0.5/255, 1/255", "audit.eps", ["0.5/255", "1/255"]),
        ('audit.eps=["1/255", 0.01]', "audit.eps", ["1/255", 0.01]),
        ("scenarios.universal=8", "scenarios.universal", [8]),
        ("detection.fit_on=PGD", "detection.fit_on", ["PGD"]),
        ("attacks.PGD.eps=2/255", "attacks.PGD.eps", ["2/255"]),
        ("audit.seed=3", "audit.seed", 3),
        ("doubts.probe=false", "doubts.probe", False),
        ("model.size=224", "model.size", 224),
        ("model.size=[224, 192]", "model.size", [224, 192]),
        ("title=Audit of 2026-11-26", "title", "Audit of 2026-11-26"),
        ("title=2026-11-26", "title", "2026-11-26"),
        ("data.where=age == 3", "data.where", "age == 3"),
    ],
)
def test_a_setting_is_toml_or_text(text: str, field: str, value: object) -> None:
    assert parse_settings([text], Plan) == {field: value}


@pytest.mark.parametrize("text", ["audit.eps", "=3", "audit.=3", ".seed=3"])
def test_a_setting_without_field_or_value(text: str) -> None:
    with pytest.raises(InputError, match=r"write FIELD=VALUE, for example audit\.eps=1/255"):
        parse_settings([text], Plan)


def test_every_single_field_of_a_plan_can_be_set() -> None:
    raw: dict[str, Any] = {"attacks": [{"name": "PGD"}, {"name": "PGD", "label": "long"}]}
    changes = parse_settings(
        ["attacks.long.steps=100", "attacks.PGD.steps=3", "detection.cases=50", "title=x"], Plan
    )
    lay_over(raw, changes)
    plan = make_plan(raw)
    assert [attack.fields() for attack in plan.attacks] == [{"steps": 3}, {"steps": 100}]
    assert (plan.detection.cases, plan.title) == (50, "x")


@pytest.mark.parametrize(
    ("raw", "field", "said"),
    [
        ({"audit": 3}, "audit.seed", r"\[audit\] must be a table"),
        ({"attacks": [{"name": "PGD"}]}, "attacks.PDG.steps", "did you mean PGD"),
        ({"attacks": []}, "attacks.PGD.steps", "it is empty"),
        ({"attacks": [{"name": "PGD"}]}, "attacks.PGD", "names a whole entry"),
    ],
)
def test_where_nothing_can_be_set(raw: dict[str, Any], field: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        lay_over(raw, {field: 1})


def test_an_attack_chosen_by_hand_is_short_unless_told(tmp_path: Path) -> None:
    model = {"model.factory": "a:b", "data.path": "phantom:fundus"}
    chosen = {**model, "attacks": [{"name": "PGD"}]}
    assert plan_from(None, chosen).audit.eps == (1 / 255,)
    assert plan_from(None, {**chosen, "audit.eps": ["2/255"]}).audit.eps == (2 / 255,)
    assert len(plan_from(None, model).audit.eps) == 5


def test_a_set_field_reaches_the_run(robust: Robust) -> None:
    write_plan()
    run = ("audit", "plan.toml", "--out", "run")
    refused(robust(*run, "--set", "audit.ep=1"), "unknown entry audit.ep; did you mean eps?")
    refused(robust(*run, "--set", "audit.eps=one"), "eps 'one' is not a number")
    refused(robust("train", "--architecture", "x", "--set", "training.epoch=1"), "mean epochs?")


def test_a_recipes_lists_are_lists() -> None:
    assert parse_settings(["data.classes=a,b", "splits.val=0.2"], Recipe) == {
        "data.classes": ["a", "b"],
        "splits.val": 0.2,
    }
