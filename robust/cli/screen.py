"""`robust screen`: classify images and flag those that look attacked."""

from __future__ import annotations

import contextlib
import csv
import io
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from robust.cli.options import MODEL, OUTPUT, AllowCode, Device, SkipBroken
from robust.cli.output import print_errors, write_text
from robust.errors import InputError
from robust.progress import progress_bar

EXAMPLE = "Example (after robust demo): robust screen guards/lid adversarial --out seen.csv"


def screen(
    detector: Annotated[Path, typer.Argument(help="Folder written by robust fit-detector.")],
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
    plan: Annotated[
        Path | None,
        typer.Option(
            help="Plan that names the classifier.",
            rich_help_panel=MODEL,
            show_default="the classifier that the detector was fitted to",
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="File with the classifier's weights, if it was moved.", rich_help_panel=MODEL
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="CSV file to write to.",
            rich_help_panel=OUTPUT,
            show_default="printed",
        ),
    ] = None,
    device: Device = "auto",
    skip_broken: SkipBroken = False,
    allow_code: AllowCode = False,
) -> None:
    """Classify images and flag those that look attacked.

    The table has one row per image with the columns id, prediction, score and flagged (1 or 0).
    """
    if out is not None:
        _check_out(out)
    from robust.engine.outcome_table import as_cell
    from robust.guard.screen import COLUMNS, screen_files

    # The table goes to stdout: what a network prints must not be taken for a row of it.
    with progress_bar() as progress, contextlib.redirect_stdout(sys.stderr):
        lines, skipped, record = screen_files(
            detector,
            images,
            plan=plan,
            weights=weights,
            device=device,
            skip_broken=skip_broken,
            allow_code=allow_code,
            progress=progress,
        )
    rows = [(line.id, line.prediction, line.score, line.flagged) for line in lines]
    text = _csv([COLUMNS, *([as_cell(value) for value in row] for row in rows)])
    if out is None:
        print(text, end="")
    else:
        write_text(out, text)
    print_errors([f"skipped: {why}" for why in skipped])
    flagged, expected = (
        sum(line.flagged for line in lines),
        len(lines) * record.false_alarms.requested,
    )
    expected_text = f"{expected:.1f}".removesuffix(".0")
    Console(stderr=True, soft_wrap=True, highlight=False).print(
        f"{flagged} of {len(lines)} images flagged; about {expected_text} would be flagged if none "
        f"were attacked",
        markup=False,
    )


def _csv(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _check_out(out: Path) -> None:
    """InputError where the table would replace another file."""
    from robust.guard.screen import COLUMNS

    if out.is_dir():
        raise InputError(f"{out} is a folder; name a CSV file")
    if out.exists():
        with out.open("rb") as file:
            is_table = file.readline().rstrip(b"\r\n") == ",".join(COLUMNS).encode()
        if not is_table:
            raise InputError(f"{out} exists and is not a table of robust screen; name a new file")
