"""`robust compare`: the differences between two or more runs on the same cases."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from robust.cli.output import FAILED, make_console, print_errors, write_text
from robust.cli.plan_options.options import OUTPUT, RUNNING
from robust.cli.process.manners import emit
from robust.errors import InputError, did_you_mean
from robust.progress import progress_bar

if TYPE_CHECKING:
    from robust.report.comparison.compare import Comparison

EXAMPLE = "Example (after robust demo): robust compare demo-report/run runs/pgd --tolerance 0.02"
FORMATS = ("text", "md", "json")
MANY_FORMATS = (*FORMATS, "html")
"""Of more than two runs."""


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
            help="text, md or json; html for more than two runs.",
            rich_help_panel=OUTPUT,
            show_default="the suffix of --out, else text",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File to write to.", rich_help_panel=OUTPUT),
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
    kind = _format(format, out, FORMATS if len(runs) == 2 else MANY_FORMATS)
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
        from robust.report.comparison.show import as_json, as_markdown, print_comparison

        comparison = compare_runs(old, new)
    emit(lambda: json.loads(as_json(comparison, tolerance)))
    if kind == "text":
        print_comparison(comparison, tolerance, make_console())
    else:
        text = (as_json if kind == "json" else as_markdown)(comparison, tolerance)
        if out is None:
            print(text, end="")
        else:
            write_text(out, text)
    _exit_with([] if tolerance is None else _lost_lines(comparison, tolerance))


def _compare_many(runs: list[Path], tolerance: float | None, kind: str, out: Path | None) -> None:
    """The page of a sweep over the runs; the tolerance holds each against the first."""
    with progress_bar() as progress:
        progress(0, 0, "comparing")
        from robust.report.comparison.compare import compare_runs
        from robust.report.sweeps import print_sweep, render_sweep
        from robust.sweeps.run import sweep_of_runs

        report = sweep_of_runs(runs)
        lines = []
        for run in runs[1:] if tolerance is not None else ():
            comparison = compare_runs(runs[0], run)
            lines += [f"{run}: {line}" for line in _lost_lines(comparison, tolerance or 0.0)]
    emit(lambda: json.loads(render_sweep(report, "json")))
    if kind == "text":
        print_sweep(report, make_console())
    else:
        text = render_sweep(report, kind).decode("utf-8")
        if out is None:
            print(text, end="")
        else:
            write_text(out, text)
    _exit_with(lines)


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


def _format(named: str | None, out: Path | None, formats: Sequence[str]) -> str:
    kind = named or (out.suffix.removeprefix(".") if out else "text")
    if kind not in formats:
        raise InputError(f"unknown format {kind!r}; {did_you_mean(kind, formats)}")
    if out is not None and kind == "text":
        files = "md or json" if formats == FORMATS else "md, json or html"
        raise InputError(f"--out takes the format {files}")
    return kind
