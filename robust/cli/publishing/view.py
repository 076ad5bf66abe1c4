"""`robust view`: one page over all runs below a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robust.cli.plan_options.options import OUTPUT
from robust.cli.process.manners import emit
from robust.errors import InputError, excerpt
from robust.progress import progress_bar

EXAMPLE = "Example (after robust demo): robust view demo-report --out runs.html"


def view(
    runs: Annotated[Path, typer.Argument(help="Folder with runs, at any depth.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="File to write to.",
            rich_help_panel=OUTPUT,
            show_default="index.html in that folder",
        ),
    ] = None,
) -> None:
    """Write one page over all runs of a folder, with verdicts and links to their reports.

    It is a file that needs no server and loads nothing. Sweeps, audits of several findings, runs
    that are not finished and files that could not be read are named as well. Links are relative:
    the page can be moved together with the runs.
    """
    from robust.cli.output import make_console, write_text
    from robust.report.overview import (
        collect_runs,
        is_overview,
        overview_values,
        render_overview,
    )
    from robust.report.overview.document import NAME

    page = runs / NAME if out is None else out
    with progress_bar() as progress:
        overview = collect_runs(runs, lambda number: progress(number, 0, "reading runs"))
    if overview.is_empty:
        raise InputError(
            f"no run below {excerpt(runs, 300)}; name a folder in which robust audit has written"
        )
    if out is None and page.exists() and not is_overview(page):
        raise InputError(
            f"{excerpt(page, 300)} is a page of something else; name another with --out"
        )
    if page.is_dir():
        raise InputError(f"{excerpt(page, 300)} is a folder; name a file, such as {page / NAME}")
    write_text(page, render_overview(overview, page).encode("utf-8", "replace").decode("utf-8"))
    emit(lambda: {"page": str(page), **overview_values(overview)})
    make_console(wrap=False).print(f"wrote {page}")
