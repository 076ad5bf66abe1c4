"""The table of attackers with less knowledge, each beside its control."""

from __future__ import annotations

from robust.records import Report, Scenario
from robust.report.tables.model import Column, Table, TableCell, TableRow, percent_cell
from robust.report.text.format import of_hundred, plain
from robust.report.text.scenarios import SCENARIO_WORDS, scenario_effort, scenario_size
from robust.report.text.words import words

OVERLAP = "="
NOTE = (
    "Tested on cases that the model {does_right} without attack, of patients whose images the "
    "attacker did not use. In brackets: 95 % intervals, by group. The control is the "
    "same procedure without an attack."
)
OVERLAP_NOTE = (
    f" {OVERLAP} the intervals of attack and control overlap: an effect beyond the control is not "
    "shown."
)


def scenario_table(report: Report) -> Table:
    """Each attacker at each effort, beside its control."""
    columns = (
        Column("attacker"),
        Column("size"),
        Column("effort"),
        Column("model fooled %"),
        Column("control %", "scenario-control"),
        Column("the control"),
    )
    rows, before = [], ""
    for place, one in enumerate(report.scenarios):
        rows.append(_row(one, f"/scenarios/{place}", opens=one.name != before))
        before = one.name
    title = "Attackers with less knowledge"
    return Table("scenarios", title, columns, tuple(rows), _note(report))


def _note(report: Report) -> str:
    scenarios = report.scenarios
    note = NOTE.format(does_right=words(report).does_right)
    if not all(one.beats_control for one in scenarios):
        note += OVERLAP_NOTE
    for one in scenarios:
        if one.surrogate_fooled is not None:
            share = of_hundred(one.surrogate_fooled.value)
            note += f" The images made on the other model fool that model itself in {share} %."
    failed = dict.fromkeys(plain(one.failure) for one in scenarios if one.failure)
    for why in failed:
        note += (
            f" The decision-based attack stopped early on some cases ({why}); the images found "
            "before that count."
        )
    return note


def _row(scenario: Scenario, path: str, opens: bool) -> TableRow:
    words = SCENARIO_WORDS[scenario.name]
    mark = "" if scenario.beats_control else OVERLAP
    return TableRow(
        (
            TableCell(words.name),
            TableCell(
                scenario_size(scenario), path=f"{path}/size" if scenario.norm == "Linf" else ""
            ),
            TableCell(scenario_effort(scenario)),
            percent_cell(scenario.fooled, f"{path}/fooled", mark),
            percent_cell(scenario.control, f"{path}/control"),
            TableCell(words.control),
        ),
        opens=opens,
    )
