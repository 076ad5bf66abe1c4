"""The terminal: 80 columns, no colour in a pipe."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from robust.report.formats.terminal import print_report
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
