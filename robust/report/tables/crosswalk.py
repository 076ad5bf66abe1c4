"""The table of a text's points: what this report shows for each, how surely, what is open."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from robust.report.crosswalk.answers import PointAnswer
from robust.report.crosswalk.evidence import EVIDENCE
from robust.report.tables.model import CellLine, Column, Table, TableCell, TableRow
from robust.report.text.format import NONE, listed

NOTE = (
    "In brackets: 95 % intervals, by group. Each line of the third column leads to the section of "
    "this report that it comes from. Evidence in part: a part of what the point names is missing, "
    "or the point asks for more than this program measures."
)


def crosswalk_table(given: Sequence[PointAnswer], label: str, sections: Collection[str]) -> Table:
    """One row for each point; `sections` are the ids that lines may lead to."""
    columns = (
        Column("point"),
        Column("in this report"),
        Column("what it shows"),
        Column("not answered, and why"),
    )
    rows = tuple(_row(one, sections) for one in given)
    return Table("crosswalk", f"Points of {label}", columns, rows, NOTE, whole=True)


def _row(one: PointAnswer, sections: Collection[str]) -> TableRow:
    point = one.point
    name = f"{point.place}: {point.topic}" if point.place else point.topic
    shown = [
        CellLine(
            result.text,
            EVIDENCE[kind].section if EVIDENCE[kind].section in sections else "",
            result.path,
        )
        for kind, result in one.shown
    ]
    if one.doubts:
        names = listed([f"'{name}'" for name in one.doubts], most=len(one.doubts))
        link = "warnings" if "warnings" in sections else ""
        shown.append(CellLine(f"Warnings on these: {names}.", link))
    return TableRow(
        (
            _cell([CellLine(name, strong=True), CellLine(point.asks)], ". "),
            TableCell(one.status),
            _cell(shown, "; "),
            _cell([CellLine(text) for text in one.open], " "),
        )
    )


def _cell(lines: Sequence[CellLine], between: str) -> TableCell:
    if not lines:
        return TableCell(NONE)
    return TableCell(between.join(line.text for line in lines), lines=tuple(lines))
