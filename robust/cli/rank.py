"""`robust rank`: order unlabelled images for the annotator."""

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
    shown_cell,
    write_text,
)
from robust.cli.plan_options.options import DATA, OUTPUT, RANKING, AllowCode, Device, SkipBroken
from robust.cli.process.manners import emit, manners
from robust.errors import InputError
from robust.progress import progress_bar

COLUMNS = ("rank", "file", "prediction", "probability")
"""First columns of the table; then come those of the criteria, and a note."""

EXAMPLE = (
    "Example (after robust demo): robust rank demo-report/plan.toml phantom:chest_xray "
    "--by distance --steps 20 --top 20 --out ranked.csv"
)


def rank(
    model: Annotated[
        Path, typer.Argument(help="Folder with a classifier, as robust train writes it, or a plan.")
    ],
    images: Annotated[
        list[str],
        typer.Argument(
            help="Unlabelled images: files, folders, a table that names them, an .npz file or "
            "phantom:NAME."
        ),
    ],
    by: Annotated[
        list[str] | None,
        typer.Option(
            help="Criterion: distance (to the nearest adversarial image), margin, entropy, "
            "feature-distance, mean-distance, o-medal or random. Several are joined by the sum of "
            "their ranks; a+b orders by b those that a puts first. May be repeated.",
            rich_help_panel=RANKING,
            show_default="distance",
        ),
    ] = None,
    labelled: Annotated[
        list[str] | None,
        typer.Option(
            help="Images that are labelled already, in the same forms: feature distances are "
            "measured from them. May be repeated.",
            rich_help_panel=RANKING,
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            help="Number of images to label.", rich_help_panel=RANKING, show_default="all"
        ),
    ] = None,
    per_group: Annotated[
        int | None,
        typer.Option(
            help="At most so many images of a patient before further ones come.",
            rich_help_panel=RANKING,
            show_default="no limit",
        ),
    ] = None,
    shortlist: Annotated[
        float,
        typer.Option(
            help="Share of the images that the first of two stages passes on.",
            rich_help_panel=RANKING,
        ),
    ] = 0.1,
    norm: Annotated[
        str, typer.Option(help="Norm of the distance: L2 or Linf.", rich_help_panel=RANKING)
    ] = "L2",
    steps: Annotated[
        int, typer.Option(help="Steps of the attack on each image.", rich_help_panel=RANKING)
    ] = 100,
    layer: Annotated[
        str | None,
        typer.Option(
            help="Layer whose features are compared.",
            rich_help_panel=RANKING,
            show_default="the input of the last layer",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Seed of the random order.", rich_help_panel=RANKING)
    ] = 0,
    file_column: Annotated[
        str,
        typer.Option(help="Column of a table that names the image.", rich_help_panel=DATA),
    ] = "file",
    group: Annotated[
        str,
        typer.Option(
            help="Column of a table that names the patient, if it has one.", rich_help_panel=DATA
        ),
    ] = "group",
    group_pattern: Annotated[
        str | None,
        typer.Option(
            help="Regular expression whose first bracket is the patient in a file's path.",
            rich_help_panel=DATA,
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="Split of an .npz file, or of synthetic images.",
            rich_help_panel=DATA,
            show_default="the array images; of synthetic images test",
        ),
    ] = None,
    labelled_split: Annotated[
        str | None,
        typer.Option(help="The same for --labelled.", rich_help_panel=DATA, show_default="--split"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="CSV file to write to. With it, the same command continues a ranking that was "
            "interrupted.",
            rich_help_panel=OUTPUT,
            show_default="printed",
        ),
    ] = None,
    device: Device = "auto",
    skip_broken: SkipBroken = False,
    allow_code: AllowCode = False,
) -> None:
    """Rank unlabelled images: which to label next.

    The table has one row per image, the first to be labelled first: rank, file, prediction,
    probability, the value of each criterion with its unit, and a note. Labels are not read.
    """
    if out is not None:
        check_table(out, ",".join(COLUMNS), "robust rank")
        if not out.absolute().parent.is_dir():
            raise InputError(f"no such folder: {out.parent}; create it, or name another file")
    # The table goes to stdout: what a network prints must not be taken for a row of it.
    with progress_bar() as progress, contextlib.redirect_stdout(sys.stderr):
        from dataclasses import replace

        from robust.cases.index.unlabelled import UnlabelledOptions, open_unlabelled
        from robust.printable import as_cell
        from robust.ranking import rank_images
        from robust.ranking.open_model import open_ranked_model

        options = UnlabelledOptions(file_column, group, group_pattern, split)
        cases = open_unlabelled(images, options)
        known = None
        if labelled:
            # Patterns are for the groups of what is ranked.
            known = open_unlabelled(
                labelled, replace(options, split=labelled_split or split, group_pattern=None)
            )
        opened = open_ranked_model(model, device=device, allow_code=allow_code)
        ranked = rank_images(
            opened.classifier,
            opened.as_read(cases),
            by=[part.strip() for text in by or ["distance"] for part in text.split(",")],
            labelled=None if known is None else opened.as_read(known),
            top=top,
            norm=norm,
            steps=steps,
            layer=layer,
            shortlist=shortlist,
            per_group=per_group,
            seed=seed,
            device=device,
            skip_broken=skip_broken,
            classes=opened.classes,
            table=out,
            progress=progress,
        )
    header = (*COLUMNS, *ranked.columns, "note")
    rows = [
        (one.rank, one.id, one.prediction, one.probability, *one.values, one.note)
        for one in ranked.images
    ]
    cells = [["" if value is None else as_cell(value) for value in row] for row in rows]
    emit(
        lambda: {
            "images": [dict(zip(header, row, strict=True)) for row in rows],
            "skipped": ranked.skipped,
        }
    )
    if out is not None:
        write_text(out, csv_text([header, *cells]))
        ranked.written()
    elif not manners().as_json:
        print(csv_text([header, *([shown_cell(cell) for cell in row] for row in cells)]), end="")
    console = make_console(stderr=True, wrap=False)
    skipped = f"; {ranked.skipped} could not be read" if ranked.skipped else ""
    console.print(f"{len(ranked.images)} images ranked{skipped}")
