"""Cells and notes of tables: an estimate without an interval has a mark that the note explains."""

from __future__ import annotations

import dataclasses

from robust.records import Estimate, Report
from robust.report.formats.html import render_html
from robust.report.formats.latex import render_latex
from robust.report.formats.markdown import render_markdown
from robust.report.tables.model import Column, Table, TableRow, percent_cell
from tests.records.test_report import report

ALONE = (Estimate(0.5, None, None, 8, 4, 30), Estimate(0.5, None, None, 8, 4, 52))
MEANING = "† No interval: there are too few groups for one. It would take about 30 to 52 groups."


def shown() -> Report:
    """A report whose worst cases have no intervals."""
    worst = tuple(
        dataclasses.replace(row, scores=dataclasses.replace(row.scores, robust_accuracy=rate))
        for row, rate in zip(report().worst_cases, ALONE, strict=True)
    )
    return report(worst_cases=worst)


def test_the_note_says_what_the_mark_means_where_it_stands() -> None:
    def table(*estimates: Estimate) -> Table:
        rows = tuple(TableRow((percent_cell(one, ""),)) for one in estimates)
        return Table("x", "X", (Column("x"),), rows, "A note.")

    assert table(Estimate(0.5, 0.4, 0.6, 8, 4)).whole_note == "A note."
    assert table(*ALONE).whole_note == f"A note. {MEANING}"
    unknown = Estimate(0.5, None, None, 8, 4)
    assert table(unknown).whole_note == "A note. † No interval: there are too few groups for one."


def test_every_format_has_mark_and_meaning() -> None:
    text, page, latex = render_markdown(shown()), render_html(shown()), render_latex(shown())
    assert MEANING in text and "| 50.0 † |" in text
    assert MEANING in page
    assert '50.0 <span title="no interval: about 30 groups needed">†</span>' in page
    assert r"50.0 {\scriptsize \textdagger}" in latex and r"\textdagger{} No interval" in latex
    for table in (part.split("|\n\n")[0] for part in text.split("\n\n|")):
        assert "no interval" not in table.split("\n")[0]
