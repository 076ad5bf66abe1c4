"""The plan in a report reads back."""

from __future__ import annotations

import tomllib

from robust.plan.load import make_plan
from robust.plan.public import public_plan
from robust.report.text.reproduce import command_line, plan_toml
from tests.report.detected import report_on


def test_the_plan_of_detectors_reads_back() -> None:
    raw = {
        "detectors": [{"name": "LID", "k": 20}, {"name": "LID", "label": "LID 5", "k": 5}],
        "detection": {"fit_on": ["PGD"], "fit_eps": ["1/255", 0.03], "layers": ["layer4", "fc"]},
    }
    plan = make_plan(raw)
    text = plan_toml(report_on(plan=plan.model_dump(mode="json")))
    assert 'fit_eps = [\n    "1/255",\n    0.03,\n]' in text
    assert make_plan(tomllib.loads(text)) == plan


def test_a_plan_of_anybody_is_written_without_what_toml_does_not_have() -> None:
    plan = make_plan({}).model_dump(mode="json")
    plan["audit"]["eps"] = [None, {"a": None, "b": [None, 1]}, -0.5]
    plan["detection"]["layers"] = [None, "fc"]
    found = tomllib.loads(plan_toml(report_on(plan=plan)))
    assert found["audit"]["eps"] == [{"b": [1]}, -0.5]
    assert found["detection"]["layers"] == ["fc"]


def test_the_command_names_the_gaps_of_a_plan_that_was_handed_on() -> None:
    other = {"architecture": "resnet18", "weights": "/secret/b.pth"}
    raw = {
        "model": {"architecture": "resnet18", "weights": "/secret/a.pth"},
        "data": {"path": "/secret/images", "where": "age > 40"},
        "scenarios": {"surrogate": other},
    }
    plan = public_plan(make_plan(raw)).model_dump(mode="json")
    assert command_line(report_on(plan=plan)) == (
        "robust audit plan.toml --weights WEIGHTS --data IMAGES --where FILTER "
        "--set scenarios.surrogate.weights=WEIGHTS --out again"
    )
    whole = {"model": {"factory": "a:b"}, "data": {"path": "phantom:fundus"}}
    plan = public_plan(make_plan(whole)).model_dump(mode="json")
    assert command_line(report_on(plan=plan)) == "robust audit plan.toml --out again"
    assert command_line(report_on(plan=make_plan({}).model_dump(mode="json"))) == ""
