"""The commands of a detector in use: fit one, screen images with it. As cli.py: parse, call, print.

They live beside cli.py since they ask for other things than an audit does.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from robust.errors import InputError
from robust.files import write_atomically
from robust.progress import progress_bar

FIT_EXAMPLE = (
    "Example (after robust demo): robust fit-detector demo-report/plan.toml --detector LID "
    "--attack PGD --eps 2/255 --out guards/lid"
)
SCREEN_EXAMPLE = "Example (after robust demo): robust screen guards/lid adversarial --out seen.csv"

FEW = 30
"""Attacked images below which a share of them says little."""


def fit_detector(
    plan: Annotated[Path, typer.Argument(help="A TOML plan: its model and data are used.")],
    detector: Annotated[str, typer.Option(help="Name, or its label in the plan.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="New folder for the detector.")],
    attack: Annotated[
        str | None, typer.Option(help="Attack to learn from; some detectors need none.")
    ] = None,
    eps: Annotated[str | None, typer.Option(help="Its radius, such as 1/255.")] = None,
    false_alarms: Annotated[
        str, typer.Option(help="Share of clean images that may be flagged: 5% or 0.05.")
    ] = "5%",
    split: Annotated[str, typer.Option(help="Split that sets the threshold.")] = "val",
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
) -> None:
    """Fit a detector to a classifier and store it, to screen images with.

    It learns from the train split and takes its threshold from clean images of another one.
    """
    share = parse_share(false_alarms)
    from robust.guard.fit import fit_detector
    from robust.plan.load import load_plan

    with progress_bar() as progress:
        stored = fit_detector(
            load_plan(plan),
            detector,
            attack=attack,
            eps=eps,
            false_alarms=share,
            split=split,
            out=out,
            device=device,
            progress=progress,
        )
    Console(soft_wrap=True, highlight=False).print(_told(stored.record, out), markup=False)


def screen(
    detector: Annotated[Path, typer.Argument(help="Folder that robust fit-detector wrote.")],
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
    plan: Annotated[
        Path | None, typer.Option(help="A plan that names the classifier; as stored otherwise.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Where the classifier's weights lie now.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="CSV file to write.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Go on without broken images.")
    ] = False,
) -> None:
    """Predict images, and flag those that look attacked.

    Writes a CSV with the columns id, prediction, score and flagged (1 or 0) to --out, or prints it.
    """
    if out is not None:
        _check_out(out)
    from robust.engine.outcome_table import as_cell
    from robust.guard.screen import COLUMNS, screen_files

    with progress_bar() as progress:
        lines, skipped, record = screen_files(
            detector,
            images,
            plan=plan,
            weights=weights,
            device=device,
            skip_broken=skip_broken,
            progress=progress,
        )
    rows = [(one.id, one.prediction, one.score, one.flagged) for one in lines]
    text = _csv([COLUMNS, *([as_cell(value) for value in row] for row in rows)])
    if out is None:
        print(text, end="")
    else:
        _write(out, text)
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    for why in skipped:
        console.print(f"robust: skipped: {why}", markup=False)
    flagged, expected = (
        sum(one.flagged for one in lines),
        len(lines) * record.false_alarms.requested,
    )
    shown = f"{expected:.1f}".removesuffix(".0")
    console.print(
        f"{flagged} of {len(lines)} images flagged; {shown} would be expected of clean ones",
        markup=False,
    )


def parse_share(text: str) -> float:
    """`5%`, `5 %` or `0.05`, above 0 and below 1; InputError."""
    number, percent = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        share = float(number) / (100 if percent else 1)
    except ValueError:
        share = math.nan
    if not 0 < share < 1:
        raise InputError(f"--false-alarms {text!r}: write a share of the images, as 5% or 0.05")
    return share


def _told(record: Any, out: Path) -> str:
    """What was fitted, on what, and what may be expected of it."""
    promise, teaching = record.false_alarms, record.training_attack
    groups = "" if promise.groups == promise.images else f" in {promise.groups} groups"
    lines = [
        f"{record.label} for {100 * promise.requested:.3g} % false alarms is in {out}: threshold "
        f"{record.threshold:.6g}, set on {promise.images} clean images of {promise.split}{groups}."
    ]
    if teaching is not None:
        if teaching.fitted_on:
            lines.append(f"It has learned from {teaching.fitted_on} images of {teaching}.")
        few = " (too few to rely on)" if teaching.held_out < FEW else ""
        lines.append(
            f"Of {teaching.held_out} images of {teaching} that it had not seen it flags "
            f"{teaching.held_out_flagged}{few}."
        )
    if record.left_out:
        lines.append(f"{record.left_out} copies of other images were left out.")
    return "\n".join(lines)


def _csv(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _check_out(out: Path) -> None:
    """InputError where the table would take the place of something else."""
    from robust.guard.screen import COLUMNS

    if out.is_dir():
        raise InputError(f"{out} is a folder; name a CSV file")
    if out.exists():
        with out.open("rb") as file:
            mine = file.readline().rstrip(b"\r\n") == ",".join(COLUMNS).encode()
        if not mine:
            raise InputError(f"{out} exists and is no table of robust screen; name a new file")


def _write(out: Path, text: str) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(out, text.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror}") from None
