"""`robust screen`: classify images and flag those that look attacked."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from robust.cli.output import (
    check_table,
    csv_text,
    make_console,
    print_errors,
    shown_cell,
    write_text,
)
from robust.cli.plan_options.options import MODEL, OUTPUT, AllowCode, Device, SkipBroken
from robust.cli.process.manners import emit, manners
from robust.progress import progress_bar

COLUMNS = ("id", "prediction", "score", "flagged")
"""Of the table."""

EXAMPLE = (
    "Example (after those of robust attack and robust fit-detector): robust screen guards/lid "
    "adversarial --out seen.csv"
)


def screen(
    detector: Annotated[Path, typer.Argument(help="Folder written by robust fit-detector.")],
    images: Annotated[
        list[Path],
        typer.Argument(
            help="Image files, DICOM among them, folders of them, a table that names them, or an "
            ".npz file."
        ),
    ],
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

    The table has one row per image or DICOM frame with the columns id, prediction, score and
    flagged (1 or 0).
    """
    from robust.plan.load import load_plan
    from robust.plan.paths import check_paths, require_detector, require_images, require_weights

    if out is not None:
        check_table(out, ",".join(COLUMNS), "robust screen")
    require_detector(detector)
    require_images(images)
    if weights is not None and plan is None:  # with both, the plan is refused
        require_weights(weights)
    if plan is not None:
        check_paths(load_plan(plan, allow_code=allow_code))
    # The table goes to stdout: what a network prints must not be taken for a row of it.
    with progress_bar() as progress, contextlib.redirect_stdout(sys.stderr):
        from robust.guard.screen import screen_files
        from robust.metrics.operating_point import FalseAlarms
        from robust.printable import as_cell

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
    groups = len({line.group for line in lines})
    rows = [(line.id, line.prediction, line.score, line.flagged) for line in lines]
    cells = [[as_cell(value) for value in row] for row in rows]
    if out is not None:
        write_text(out, csv_text([COLUMNS, *cells]))
    elif not manners().as_json:
        # Names with line ends would forge rows and lines; a file shows them between quotes.
        shown = [[shown_cell(cell) for cell in row] for row in cells]
        print(csv_text([COLUMNS, *shown]), end="")
    print_errors([f"skipped: {why}" for why in skipped])
    known = FalseAlarms(**record.false_alarms.counted.model_dump())
    expected, (low, high) = known.expected * len(lines), known.count_interval(len(lines))
    emit(
        lambda: {
            "images": [dict(zip(COLUMNS, row, strict=True)) for row in rows],
            "skipped": list(skipped),
            "patients_at_most": groups,
            "false_alarms_if_none_is_attacked": {"expected": expected, "low": low, "high": high},
        }
    )
    known_fewer = f"; here they show at most {groups}" if groups < len(lines) else ""
    make_console(stderr=True, wrap=False).print(
        f"{sum(line.flagged for line in lines)} of {len(lines)} images flagged; if none were "
        f"attacked, about {f'{expected:.1f}'.removesuffix('.0')} would be, {low} to {high} in 95 "
        f"of 100 such sets (if each shows another patient{known_fewer})"
    )
