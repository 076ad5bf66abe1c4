"""The table of attackers with less knowledge."""

from __future__ import annotations

import dataclasses

from robust.report.tables.scenarios import scenario_table
from tests.report.detected import SCENARIO_REPORT, SCENARIOS, detection, report_on


def test_what_may_be_chance_is_marked_and_the_mark_explained() -> None:
    table = scenario_table(SCENARIO_REPORT)
    assert [row.cells[3].mark for row in table.rows] == ["=", "", "", "", ""]
    assert "= the intervals of attack and control overlap" in table.note
    assert [row.opens for row in table.rows] == [True, False, True, True, True]
    sure = scenario_table(dataclasses.replace(SCENARIO_REPORT, scenarios=SCENARIOS[1:]))
    assert "=" not in sure.note


def test_numbers_say_where_they_come_from() -> None:
    cells = scenario_table(SCENARIO_REPORT).rows[3].cells
    assert cells[3].path == "/scenarios/3/fooled"
    assert cells[3].interval == "[35.0, 45.0]"
    assert cells[4].path == "/scenarios/3/control"


def test_the_note_says_what_the_surrogate_and_a_broken_attack_are_worth() -> None:
    note = scenario_table(SCENARIO_REPORT).note
    assert "fool that model itself in 90 %" in note
    assert "stopped early on some cases (RuntimeError: out of luck)" in note


def test_without_scenarios_there_is_no_row() -> None:
    assert not scenario_table(report_on(detection())).rows
