"""`robust compare`: the differences between two or more runs on the same cases."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from robust.cli.output import FAILED, make_console, print_errors, write_text
from robust.cli.plan_options.options import OUTPUT, RUNNING
from robust.cli.process.manners import emit
from robust.errors import InputError, did_you_mean
from robust.files import cannot, make_private_folder, path_exists
from robust.progress import progress_bar
from robust.records import SWEEP

if TYPE_CHECKING:
    from robust.report.comparison.compare import Comparison

EXAMPLE = (
    "Example (after that of robust audit): robust compare demo-report/run runs/pgd "
    "--out comparisons/pgd"
)
FORMATS = ("text", "html", "md", "json")
FOLDER = "folder"
"""In place of a format: every file of the comparison, in a folder."""


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="OLD NEW...",
            help="Run directories: the first is the one to compare with.",
            show_default=False,
        ),
    ],
    tolerance: Annotated[
        float | None,
        typer.Option(
            help="Exit with code 1 if a clean or robust accuracy is worse by more than this "
            "(0.02 is 2 of 100 cases), with the whole 95 % interval, or if a warning of a run "
            "voids the answer. Exit code 0 does not show "
            "that less was lost: see the last column.",
            rich_help_panel=RUNNING,
        ),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            help="text, html, md or json.",
            rich_help_panel=OUTPUT,
            show_default="the suffix of --out, else text",
            autocompletion=lambda: [*FORMATS],
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="File to write to; or a folder for all formats, which robust view lists.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
) -> None:
    """Compare runs on the same cases, with a paired interval for each difference.

    Accuracy, sensitivity and specificity come from outcomes.csv of both runs, what is proven from
    certificates.csv, errors on corrupted images from corruptions.csv. Differences are NEW -
    OLD. Each interval is paired, by group. More than two runs give the page of a sweep: a table
    over models, paired differences, warnings.
    """
    if tolerance is not None and not 0 <= tolerance < 1:
        raise InputError(f"--tolerance {tolerance:g}: write a share of the cases, 0.02 for 2 %")
    if len(runs) < 2:
        raise InputError("robust compare takes two or more run directories: robust compare OLD NEW")
    kind = _format(format, out)
    if kind == FOLDER and out is not None:
        _require_folder(out, len(runs))
    from robust.plan.paths import require_run

    for run in runs:
        require_run(run)
    _require_finished(*runs)
    if len(runs) > 2:
        _compare_many(runs, tolerance, kind, out)
    else:
        _compare_two(runs[0], runs[1], tolerance, kind, out)


def _compare_two(
    old: Path, new: Path, tolerance: float | None, kind: str, out: Path | None
) -> None:
    with progress_bar() as progress:
        progress(0, 0, "comparing")
        from robust.report.comparison.compare import compare_runs
        from robust.report.comparison.show import as_json, print_comparison
        from robust.report.comparison.write import render_comparison, write_comparison

        comparison = compare_runs(old, new)
    emit(lambda: json.loads(as_json(comparison, tolerance)))
    if kind == "text":
        print_comparison(comparison, tolerance, make_console())
    elif kind == FOLDER and out is not None:
        _fill(out, lambda: write_comparison(comparison, tolerance, out))
    else:
        _put(render_comparison(comparison, kind, tolerance), out)
    _exit_with([] if tolerance is None else _lost_lines(comparison, tolerance))


def _compare_many(runs: list[Path], tolerance: float | None, kind: str, out: Path | None) -> None:
    """The page of a sweep over the runs; the tolerance holds each against the first."""
    with progress_bar() as progress:
        progress(0, 0, "comparing")
        from robust.report.comparison.compare import compare_runs
        from robust.report.sweeps import print_sweep, render_sweep, write_sweep
        from robust.sweeps.run import sweep_of_runs

        report = sweep_of_runs(runs)
        lines = []
        for run in runs[1:] if tolerance is not None else ():
            comparison = compare_runs(runs[0], run)
            lines += [f"{run}: {line}" for line in _lost_lines(comparison, tolerance or 0.0)]
    emit(lambda: json.loads(render_sweep(report, "json")))
    if kind == "text":
        print_sweep(report, make_console())
    elif kind == FOLDER and out is not None:
        _fill(out, lambda: write_sweep(report, out, "json", "html", "md", "csv", "parquet"))
    else:
        _put(render_sweep(report, kind).decode("utf-8"), out)
    _exit_with(lines)


def _put(text: str, out: Path | None) -> None:
    """Print a text, or write it to a file."""
    if out is None:
        print(text, end="")
    else:
        write_text(out, text)


def _fill(folder: Path, write: Callable[[], list[Path]]) -> None:
    """Let `write` put its files into a folder, and name them; InputError."""
    try:
        make_private_folder(folder)
        written = write()
    except OSError as error:
        raise InputError(cannot(error.filename or folder, "be written", error)) from None
    for path in written:
        make_console(wrap=False).print(f"wrote {path}")


def _lost_lines(comparison: Comparison, tolerance: float) -> list[str]:
    """What was lost beyond the tolerance, and what got no verdict, in lines."""
    return [
        *(row.lost_text(tolerance) for row in comparison.lost(tolerance)),
        *(row.withheld_text(tolerance) for row in comparison.withheld(tolerance)),
    ]


def _exit_with(lines: list[str]) -> None:
    print_errors(lines)
    if lines:
        raise typer.Exit(FAILED)


def _require_finished(*runs: Path) -> None:
    """InputError for the directory of a run that has not finished, with what is missing."""
    from robust.report import is_unfinished

    for run in runs:
        if is_unfinished(run):
            from robust.auditing import unfinished_report
            from robust.report.comparison.compare import not_finished

            raise not_finished(run, unfinished_report(run))


def _format(named: str | None, out: Path | None) -> str:
    """The format that is asked for, or `FOLDER`."""
    if out is not None and (out.is_dir() or not out.suffix) and named is None:
        return FOLDER
    kind = named or (out.suffix.removeprefix(".") if out else "text")
    if kind not in FORMATS:
        raise InputError(f"unknown format {kind!r}; {did_you_mean(kind, FORMATS)}")
    if out is not None and kind == "text":
        raise InputError("--out takes the format html, md or json, or names a folder")
    return kind


def _require_folder(out: Path, runs: int) -> None:
    """InputError where a folder holds anything but a comparison of as many runs."""
    from robust.plan.paths import require_writable
    from robust.report.comparison.write import COMPARISON_FILES
    from robust.report.sweeps import SWEEP_FILES

    require_writable(out)
    ours = COMPARISON_FILES if runs == 2 else (SWEEP, *SWEEP_FILES)
    present = {one.name for one in out.iterdir()} if path_exists(out) else set()
    if foreign := sorted(name for name in present - {*ours} if not name.startswith(".")):
        raise InputError(
            f"{out} holds other files ({foreign[0]}); name a new or empty folder for the comparison"
        )
