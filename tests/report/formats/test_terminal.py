"""The terminal: 80 columns, no colour in a pipe."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

from rich.console import Console

from robust.records import Estimate
from robust.report.formats.terminal import print_report, terminal_table
from robust.report.tables.model import Column, Table, TableCell, TableRow
from tests.records.test_report import report
from tests.report.tables.test_model import MEANING, shown


def test_terminal_fits_eighty_columns_and_has_no_colour_in_a_pipe() -> None:
    out = StringIO()
    print_report(report(), Console(file=out, width=80))
    text = out.getvalue()
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert "worst case" in text and "doubt: seen" in text


def test_a_mark_stands_for_a_missing_interval_and_a_line_explains_it() -> None:
    out = StringIO()
    print_report(shown(), Console(file=out, width=80))
    text = out.getvalue()
    assert MEANING in " ".join(text.split()) and "[no interval" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_the_distance_of_an_attack_without_a_bound_is_never_cut_off() -> None:
    half = Estimate(0.995, 0.971, 0.9995, 200, 200)
    scores = replace(
        report().rows[0].scores,
        robust_accuracy=half,
        success=half,
        median_l2=Estimate(0.0123, 0, 1, 9, 9),
    )
    row = replace(
        report().rows[0], attack="MinimumNormEnsemble", norm="L2", eps=None, scores=scores
    )
    out = StringIO()
    print_report(report(rows=(row,)), Console(file=out, width=80))
    (line,) = [line for line in out.getvalue().splitlines() if "median" in line]
    assert line.endswith("median L2 distance 0.0123")


def test_a_table_keeps_what_stands_behind_a_colon() -> None:
    """But for a verdict that is withheld, whose reason takes too much room."""
    cells = ("Chest X-rays: seed 1", "no verdict: masked gradients", "higher")
    columns = tuple(map(Column, ("model", "result", "other")))
    table = Table("t", "T", columns, (TableRow(tuple(map(TableCell, cells))),))
    printed = terminal_table(table)
    assert [str(column._cells[0]) for column in printed.columns] == [
        *("Chest X-rays: seed 1", "no verdict", "higher")
    ]
