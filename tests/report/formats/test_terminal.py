"""The terminal: 80 columns, no colour in a pipe."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from robust.report.formats.terminal import print_report
from tests.records.test_report import report


def test_terminal_fits_eighty_columns_and_has_no_colour_in_a_pipe() -> None:
    out = StringIO()
    print_report(report(), Console(file=out, width=80))
    text = out.getvalue()
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert "worst case" in text and "doubt: seen" in text
