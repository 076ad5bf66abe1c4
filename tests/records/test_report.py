"""Report: `load(save(r)) == r`, and other files and versions are refused with the reason."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from robust.records import (
    AttackResult,
    AuditedData,
    AuditedModel,
    Difficulty,
    Estimate,
    Flag,
    Report,
    Scores,
    Subgroup,
    Timings,
)


def report(**changes: object) -> Report:
    """A small report with an entry of every kind, some of them None."""
    rate = Estimate(0.5, 0.25, 0.75, 8, 4)
    scores = Scores(accuracy=rate, robust_accuracy=rate, auc=None, recall={"a": rate, "b": None})
    part = (Subgroup("sex", "f", 3, scores),)
    clean = AttackResult("clean", "", 0.0, "clean", scores, part)
    rows = tuple(
        AttackResult("PGD", "Linf", eps, "exact", scores, part, attacked=4, passes=41.0)
        for eps in (0.1, 0.2)
    )
    nearest = AttackResult("CarliniWagnerL2", "L2", None, "exact", scores, part, same_as="CW")
    worst = tuple(dataclasses.replace(row, attack="worst case") for row in rows)
    made = Report(
        title="A title",
        clean=clean,
        rows=(*rows, nearest),
        worst_cases=worst,
        difficulty=(Difficulty("PGD", "Linf", None),),
        flags=(Flag("doubt", "seen", "why", "remedy"),),
        plan={"audit": {"seed": 0, "goal": "error", "target": None}},
        model=AuditedModel({"factory": "a:b"}, "0", "softmax", 0.5, mean=(0.5,), std=(0.25,)),
        data=AuditedData("folder x", "test", 8, 4, {"a": 4, "b": 4}, pixels_sha256="0"),
        environment={"torch": "2"},
        table_sha256="0",
        timings=Timings(1.0),
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def test_round_trip(tmp_path: Path) -> None:
    made = report()
    made.save(tmp_path / "report.json")
    assert Report.load(tmp_path / "report.json") == made


def test_worst_and_result() -> None:
    made = report()
    assert made.worst.eps == 0.2
    assert made.result("PGD", 0.1 + 1e-12).eps == 0.1
    assert made.result("CarliniWagnerL2").eps is None
    with pytest.raises(KeyError, match="no result for BIM"):
        made.result("BIM", 0.1)


def test_a_report_shows_itself_in_a_line() -> None:
    assert repr(report()) == "<Report 'A title': 3 results, 1 flags>"


@pytest.mark.parametrize("text", ["", "{}", "[1]", "not json"])
def test_what_is_no_report(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a report\.json"):
        Report.from_json(text)


@pytest.mark.parametrize(
    ("version", "said"), [(99, "upgrade robust"), (3, "audit again"), ("4", "not a report")]
)
def test_a_report_of_another_version_is_refused(version: object, said: str) -> None:
    raw = json.loads(report().to_json()) | {"schema_version": version}
    with pytest.raises(ValueError, match=said) as raised:
        Report.from_json(json.dumps(raw))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "gates",
    [
        {"clean_accuracy": "high"},
        {"clean_accuracy": {"a": 0.5}},
        {"robust_accuracy": {"1/255": None}},
        {"robust_accuracy": {"near": 0.5}},
        {"detector_auc": True},
        {"withstands": 1.5},
        {"no_flags": [1]},
        {"no_flags": "few groups"},
    ],
)
def test_gates_that_no_plan_has_are_refused(gates: dict[str, object]) -> None:
    plan = {"audit": {"seed": 0, "goal": "error", "target": None, "norm": "Linf"}}
    known = {"robust_accuracy": {"L2 0.5": 0.5}, "no_flags": ["few groups"], "withstands": None}
    text = report(plan={**plan, "gates": known}).to_json()
    assert Report.from_json(text).plan["gates"] == known
    with pytest.raises(ValueError, match="a gate"):
        Report.from_json(report(plan={**plan, "gates": gates}).to_json())
