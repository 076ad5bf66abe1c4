"""Writes, reads and prints the report on several findings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.text import Text

from robust.errors import InputError, did_you_mean
from robust.files import path_exists, write_atomically
from robust.records import INDEX, FindingsReport
from robust.report.findings.document import attacked_tables, clean_table, findings_document, lead
from robust.report.formats.csv_tables import RESULTS, findings_csv
from robust.report.formats.html import render_page
from robust.report.formats.markdown import render_text
from robust.report.formats.pdf import print_page
from robust.report.formats.terminal import terminal_table

_FORMATS: dict[str, tuple[str, Callable[[FindingsReport], bytes]]] = {
    "html": ("report.html", lambda found: _bytes(_page(found))),
    "md": ("report.md", lambda found: _bytes(render_text(findings_document(found)))),
    "csv": (RESULTS, lambda found: _bytes(findings_csv(found))),
    "pdf": ("report.pdf", lambda found: print_page(_page(found))),
}
"""File and rendering by format."""
_BY_DEFAULT = ("html", "md", "csv")


def _page(found: FindingsReport) -> str:
    return render_page(findings_document(found))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def write_findings(found: FindingsReport, folder: Path, *formats: str) -> list[Path]:
    """Write report.html, report.md and results.csv, or those of these formats; the paths.

    InputError for a format that a report on several findings does not have.
    """
    written = []
    for name in formats or _BY_DEFAULT:
        if name not in _FORMATS:
            raise InputError(
                f"a report on several findings has no format {name!r}; "
                f"{did_you_mean(name, list(_FORMATS))}; the folder of each finding has its own"
            )
        file, render = _FORMATS[name]
        path = folder / file
        write_atomically(path, render(found))
        written.append(path)
    return written


def is_findings(run: Path) -> bool:
    """Whether this is the folder of an audit of several findings."""
    return path_exists(run / INDEX)


def read_findings(run: Path) -> FindingsReport:
    """The report in a folder; InputError."""
    return FindingsReport.load(run)


def print_findings(found: FindingsReport, console: Console) -> None:
    """Print the lead and the tables."""
    for sentence in lead(found):
        console.print(Text(sentence))
    for table in (clean_table(found.reports), *attacked_tables(found.reports)):
        console.print()
        console.print(terminal_table(table))
