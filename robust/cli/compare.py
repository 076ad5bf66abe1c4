"""`robust compare`: the differences between two runs on the same cases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robust.cli.output import FAILED, make_console, print_errors, write_text
from robust.cli.plan_options.options import OUTPUT, RUNNING
from robust.errors import InputError, did_you_mean
from robust.files import cannot, write_atomically
from robust.progress import progress_bar

EXAMPLE = "Example (after robust demo): robust compare demo-report/run runs/pgd --tolerance 0.02"
FORMATS = ("text", "md", "json")
MANY_FORMATS = ("html", "md", "csv", "parquet", "json")
"""Of more than two runs."""


def compare(
    old: Annotated[Path, typer.Argument(help="Run directory to compare with.")],
    new: Annotated[
        list[Path],
        typer.Argument(help="Run directory that is compared, or several with OLD as the first."),
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
            help="text, md or json; of several runs also html, csv or parquet.",
            rich_help_panel=OUTPUT,
            show_default="the suffix of --out, else text",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File to write to.", rich_help_panel=OUTPUT),
    ] = None,
) -> None:
    """Compare two runs on the same cases, with a paired interval for each difference.

    Accuracy, sensitivity and specificity come from outcomes.csv of both runs, what is proven from
    certificates.csv, errors on corrupted images from corruptions.csv. Differences are NEW -
    OLD. Each interval is paired, by group. Several runs are shown as a sweep over what differs
    between their plans.
    """
    if len(new) > 1:
        return _compare_many([old, *new], tolerance, format, out)
    (one,) = new
    _compare_two(old, one, tolerance, format, out)


def _compare_many(
    runs: list[Path], tolerance: float | None, format: str | None, out: Path | None
) -> None:
    """Show several runs as a sweep over what differs between them, or write the page of it."""
    if tolerance is not None:
        raise InputError("--tolerance compares two runs; name OLD and NEW alone")
    kind = format or (out.suffix.removeprefix(".") if out else "text")
    known = ("text", *MANY_FORMATS)
    if kind not in known:
        raise InputError(f"unknown format {kind!r}; {did_you_mean(kind, known)}")
    if kind == "text" and out is not None:
        raise InputError(f"--out takes a file of the format {', '.join(MANY_FORMATS)}")
    from robust.plan.paths import require_run

    for run in runs:
        require_run(run)
    _require_finished(*runs)
    with progress_bar() as progress:
        progress(0, 0, "comparing")
        from robust.report.sweeps.write import print_sweep, render_sweep
        from robust.sweeps.run import sweep_of_runs

        found = sweep_of_runs(runs)
    if kind == "text":
        return print_sweep(found, make_console())
    if out is None:
        raise InputError(f"several runs as {kind} need a file: --out several.{kind}")
    content = found.to_json() if kind == "json" else render_sweep(found, kind)
    try:
        write_atomically(out, content)
    except OSError as error:
        raise InputError(cannot(out, "be written", error)) from None


def _compare_two(
    old: Path, new: Path, tolerance: float | None, format: str | None, out: Path | None
) -> None:
    """Show what differs between two runs; exit code 1 for a loss beyond the tolerance."""
    if tolerance is not None and not 0 <= tolerance < 1:
        raise InputError(f"--tolerance {tolerance:g}: write a share of the cases, 0.02 for 2 %")
    kind = _format(format, out)
    from robust.plan.paths import require_run

    for run in (old, new):
        require_run(run)
    _require_finished(old, new)
    with progress_bar() as progress:
        progress(0, 0, "comparing")
        from robust.report.comparison.compare import compare_runs
        from robust.report.comparison.show import as_json, as_markdown, print_comparison

        comparison = compare_runs(old, new)
    if kind == "text":
        print_comparison(comparison, tolerance, make_console())
    else:
        text = (as_json if kind == "json" else as_markdown)(comparison, tolerance)
        if out is None:
            print(text, end="")
        else:
            write_text(out, text)
    lines = (
        []
        if tolerance is None
        else [
            *(row.lost_text(tolerance) for row in comparison.lost(tolerance)),
            *(row.withheld_text(tolerance) for row in comparison.withheld(tolerance)),
        ]
    )
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
    kind = named or (out.suffix.removeprefix(".") if out else "text")
    if kind not in FORMATS:
        raise InputError(f"unknown format {kind!r}; {did_you_mean(kind, FORMATS)}")
    if out is not None and kind == "text":
        raise InputError("--out takes the format md or json")
    return kind
