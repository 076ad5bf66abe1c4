"""What a report says of attackers with less, or other means."""

from __future__ import annotations

import dataclasses

from robust.records import Estimate, Scenario
from robust.report.tables.scenarios import scenario_sentences, scenario_table
from tests.report.detected import detection
from tests.report.test_noticed import made


def estimate(value: float, spread: float = 0.05) -> Estimate:
    return Estimate(value, value - spread, value + spread, 60, 40)


def scenario(name: str, **changes: object) -> Scenario:
    base = Scenario(name, f"{name}()", 8, 2 / 255, "Linf", estimate(0.4), estimate(0.1))
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


EVERY = (
    scenario("universal", budget=1, fooled=estimate(0.12)),
    scenario("universal"),
    scenario("patch", size=0.048, norm=None, budget=30),
    scenario("transfer", budget=None, surrogate_fooled=estimate(0.9)),
    scenario("queries", budget=500, failure="RuntimeError: out of luck"),
)
REPORT = dataclasses.replace(made(detection()), scenarios=EVERY)


def test_each_attacker_has_one_sentence_at_its_greatest_effort() -> None:
    said = scenario_sentences(REPORT)
    assert len(said) == 4
    assert said[0] == (
        "One perturbation of L∞ 2/255, found on 8 images and added to every other one, fools the "
        "model in 40 %; a random one does so in 10 %."
    )
    assert "One patch of 5 % of the area" in said[1]
    assert "500 questions for each" in said[3]


def test_what_may_be_chance_is_marked_and_the_mark_explained() -> None:
    table = scenario_table(REPORT)
    assert [line.cells[3].mark for line in table.lines] == ["=", "", "", "", ""]
    assert "= the intervals of attack and control overlap" in table.note
    assert [line.opens for line in table.lines] == [True, False, True, True, True]
    (sentence,) = scenario_sentences(dataclasses.replace(REPORT, scenarios=EVERY[:1]))
    assert sentence.endswith("That may be chance: the intervals overlap.")
    sure = scenario_table(dataclasses.replace(REPORT, scenarios=EVERY[1:]))
    assert "=" not in sure.note


def test_numbers_say_where_they_come_from() -> None:
    cells = scenario_table(REPORT).lines[3].cells
    assert cells[3].path == "/scenarios/3/fooled"
    assert cells[3].interval == "[35.0, 45.0]"
    assert cells[4].path == "/scenarios/3/control"


def test_the_note_says_what_the_surrogate_and_a_broken_attack_are_worth() -> None:
    note = scenario_table(REPORT).note
    assert "fool that model itself in 90 %" in note
    assert "broke off on some cases (RuntimeError: out of luck)" in note


def test_without_scenarios_nothing_is_said() -> None:
    nothing = made(detection())
    assert not scenario_table(nothing).lines
    assert scenario_sentences(nothing) == ()
