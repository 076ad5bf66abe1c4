"""Verdicts: withheld where a warning voids them, and only there."""

from __future__ import annotations

import dataclasses
import json

import pytest

from robust.records import FLAG_TEXTS, AttackResult, Estimate, Report, Scores
from robust.records.flags import voiding
from robust.records.verdicts import is_withheld, verdict
from tests.records.test_report import report


def kept(low: float, high: float) -> AttackResult:
    """A worst case of which this share still reads correctly."""
    fell = Estimate(1 - (low + high) / 2, 1 - high, 1 - low, 90, 40)
    scores = Scores(None, success=fell)
    return AttackResult("worst case", "Linf", 1 / 255, "exact", scores, attacked=90)


WORDS = {
    "robust": kept(0.93, 1.0),
    "partly robust": kept(0.6, 0.8),
    "undecided": kept(0.4, 0.6),
    "mostly fooled": kept(0.2, 0.4),
    "fails": kept(0.0, 0.05),
}


@pytest.mark.parametrize("name", list(FLAG_TEXTS))
@pytest.mark.parametrize("word", list(WORDS))
def test_a_verdict_stands_unless_the_warning_voids_it(name: str, word: str) -> None:
    voids, found = FLAG_TEXTS[name].voids, verdict(WORDS[word], [FLAG_TEXTS[name].flag("seen")])
    fooled = word in ("fails", "mostly fooled")
    withheld = voids == "attacks" or (voids == "robustness" and not fooled)
    assert found == (f"no verdict: {name}" if withheld else word)
    assert is_withheld(found) is withheld


@pytest.mark.parametrize(
    ("name", "voids"),
    [
        ("run cut short", "attacks"),
        ("clean accuracy no better than a constant", "attacks"),
        ("constant predictions", "attacks"),
        ("random outputs", "attacks"),
        ("outputs depend on the batch", "attacks"),
        ("gradients vanish", "robustness"),
        ("gradients mislead", "robustness"),
        ("black box beats white box", "robustness"),
        ("attacks fail without bounds", "robustness"),
        ("more steps still help", "robustness"),
        ("synthetic images", ""),
        ("no better than noise", ""),
        ("few groups", ""),
    ],
)
def test_what_each_warning_voids(name: str, voids: str) -> None:
    assert FLAG_TEXTS[name].voids == voids
    assert bool(FLAG_TEXTS[name].void_text) is bool(voids)


def test_the_gravest_warning_is_named_and_unknown_ones_void_nothing() -> None:
    few, vanish = FLAG_TEXTS["few groups"].flag("4"), FLAG_TEXTS["gradients vanish"].flag("16")
    assert voiding([few, vanish], "robustness") == vanish
    assert voiding([few, vanish], "attacks") is None
    assert voiding(report().flags, "robustness") is None


def test_a_report_holds_its_verdicts_and_none_that_contradicts_its_results() -> None:
    flags = (FLAG_TEXTS["gradients vanish"].flag("on 16 of 16 cases"),)
    rows = (WORDS["robust"], WORDS["fails"])
    made = report(worst_cases=rows, flags=flags)
    assert made.verdicts == ("no verdict: gradients vanish", "fails")
    assert dataclasses.replace(made, flags=()).verdicts == ("robust", "fails")
    raw = json.loads(made.to_json())
    assert raw["verdicts"] == ["no verdict: gradients vanish", "fails"]
    raw["verdicts"] = ["robust", "robust"]
    assert Report.from_json(json.dumps(raw)) == made
