"""Writes and prints what came out of a sweep."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.text import Text

from robust.errors import InputError, did_you_mean
from robust.files import write_atomically
from robust.records import SweepReport
from robust.report.formats.csv_tables import sweep_csv, sweep_lines
from robust.report.formats.html import render_page
from robust.report.formats.markdown import render_text
from robust.report.formats.terminal import terminal_table
from robust.report.sweeps.content import SweepContent
from robust.report.sweeps.differences import judged_differences
from robust.report.sweeps.document import sweep_document
from robust.report.sweeps.sentences import sweep_lead
from robust.report.sweeps.tables import differences_table, groups_table, members_table

SWEEP_FILES = ("sweep.html", "sweep.md", "sweep.csv", "sweep.parquet")
"""What is written beside sweep.json."""
MOST_PRINTED = 40
"""Rows of a table on a terminal; the page has them all."""


def _parquet(report: SweepReport) -> bytes:
    import pandas as pd

    file = io.BytesIO()
    table = pd.DataFrame(sweep_lines(report))
    for name in table.columns.intersection(["value", "low", "high"]):
        table[name] = table[name].astype("float64")
    for name in table.columns.intersection(["train images"]):
        table[name] = table[name].astype("Int64")
    table.to_parquet(file, index=False, compression="zstd")
    return file.getvalue()


SWEEP_FORMATS: dict[str, Callable[[SweepReport], str | bytes]] = {
    "html": lambda report: render_page(sweep_document(report)),
    "md": lambda report: render_text(sweep_document(report)),
    "csv": sweep_csv,
    "parquet": _parquet,
    "json": SweepReport.to_json,
}
"""Rendering by format."""


def write_sweep(report: SweepReport, folder: str | Path, *formats: str) -> list[Path]:
    """Write sweep.html, .md, .csv and .parquet, or those of these formats; returns the paths.

    InputError for a format that a sweep does not have.
    """
    written = []
    for file in [f"sweep.{name}" for name in formats] or SWEEP_FILES:
        path = Path(folder) / file
        write_atomically(path, render_sweep(report, file.removeprefix("sweep.")))
        written.append(path)
    return written


def render_sweep(report: SweepReport, kind: str) -> bytes:
    """The content of one file; InputError for a format that a sweep does not have."""
    if kind not in SWEEP_FORMATS:
        raise InputError(
            f"a sweep has no format {kind!r}; {did_you_mean(kind, list(SWEEP_FORMATS))}"
        )
    content = SWEEP_FORMATS[kind](report)
    # Half a character, from a file name that is no UTF-8, becomes a question mark.
    return content if isinstance(content, bytes) else content.encode("utf-8", "replace")


def print_sweep(report: SweepReport, console: Console) -> None:
    """Print the lead, the table over models and the differences that are shown."""
    content = SweepContent(report)
    judged = judged_differences(content)
    for sentence in sweep_lead(content, judged):
        console.print(Text(sentence))
    build = groups_table if content.averaged else members_table
    shown = [one for one in judged if one.is_shown]
    for table in (
        build(content, content.model_keys, "sweep-models", "Models"),
        differences_table(shown, "sweep-differences", "Paired differences"),
    ):
        if table.rows:
            console.print()
            console.print(terminal_table(table, MOST_PRINTED))
            if (more := len(table.rows) - MOST_PRINTED) > 0:
                console.print(Text(f"{more} more rows are in the other formats.", style="dim"))
