"""Gates and the comparison of two runs at the command line. As cli.py: parse, call, print."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from robust.errors import InputError, did_you_mean
from robust.files import write_atomically

FAILED = 1
"""Exit code where a gate did not pass, or more was lost than the tolerance allows."""

Gate = Annotated[
    bool,
    typer.Option("--gate", help="Exit 1 unless every gate of the plan passes; writes junit.xml."),
]

COMPARE_EXAMPLE = (
    "Example (after robust demo): robust compare demo-report/run runs/pgd --tolerance 0.02"
)
FORMATS = ("text", "md", "json")


def settle(report: Any, folder: Path) -> None:
    """Judge the gates of a finished run, tell CI of them, and exit 1 unless all pass."""
    from robust.report.formats.junit import write_junit
    from robust.report.gates import judge_gates
    from robust.report.tables.gates import failed_gate_lines

    results = judge_gates(report)
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    for line in failed_gate_lines(results):
        console.print(f"robust: {line}", markup=False)
    write_junit(report, folder)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        from robust.report.formats.job_summary import append_summary

        append_summary(report, Path(summary))
    if not all(result.passed for result in results):
        raise typer.Exit(FAILED)


def require(report: Any, run: Path) -> None:
    """InputError where a finished run has nothing to be judged on."""
    if report.data.unfinished:
        raise InputError(f"the run in {run} is not finished; gates are judged on finished runs")
    if not any(value is not None for value in (report.plan.get("gates") or {}).values()):
        raise InputError(
            f"the plan of {run} has no [gates]; write them into it and give the audit again: a "
            f"finished run is only judged anew"
        )


def compare(
    old: Annotated[Path, typer.Argument(help="Run directory to compare with.")],
    new: Annotated[Path, typer.Argument(help="Run directory that is compared.")],
    tolerance: Annotated[
        float | None,
        typer.Option(
            help="Exit 1 where a clean or robust accuracy is surely worse by more than this "
            "(0.02: 2 of 100). It does not show that less was lost: see the last column."
        ),
    ] = None,
    format: Annotated[
        str | None, typer.Option(help="text, md or json; by the name of --out otherwise.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write.")] = None,
) -> None:
    """Set two runs on the same cases side by side, with paired intervals of each difference.

    Cases, robust accuracy, sensitivity and specificity come from outcomes.csv of both; differences
    are NEW - OLD. Each interval is a bootstrap over groups in which both runs share every resample.
    """
    if tolerance is not None and not 0 <= tolerance < 1:
        raise InputError(f"--tolerance {tolerance:g}: write a share of the cases, 0.02 for 2 %")
    kind = _format(format, out)
    from robust.report.comparison.compare import compare_runs
    from robust.report.comparison.show import as_json, as_markdown, print_comparison

    found = compare_runs(old, new)
    if kind == "text":
        print_comparison(found, tolerance, Console())
    else:
        text = (as_json if kind == "json" else as_markdown)(found, tolerance)
        if out is None:
            print(text, end="")
        else:
            _write(out, text)
    if tolerance is None:
        return
    lost = found.lost(tolerance)
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    for row in lost:
        console.print(f"robust: {row.lost_text(tolerance)}", markup=False)
    if lost:
        raise typer.Exit(FAILED)


def _format(named: str | None, out: Path | None) -> str:
    kind = named or (out.suffix.removeprefix(".") if out else "text")
    if kind not in FORMATS:
        raise InputError(f"unknown format {kind!r}; {did_you_mean(kind, FORMATS)}")
    if out is not None and kind == "text":
        raise InputError("--out takes the format md or json")
    return kind


def _write(out: Path, text: str) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(out, text)
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror}") from None
