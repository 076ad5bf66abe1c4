"""Output that commands share: files, lines on stderr, and the exit code of gates."""

from __future__ import annotations

import os
from pathlib import Path

import typer
from rich.console import Console

from robust.errors import InputError
from robust.files import write_atomically
from robust.records import Report

FAILED = 1
"""Exit code where a gate did not pass, or more was lost than the tolerance allows."""


def require_gates(report: Report, run: Path) -> None:
    """InputError where a run is not finished or its plan has no gates."""
    if report.data.unfinished:
        raise InputError(f"the run in {run} is not finished; gates need a finished run")
    if not any(value is not None for value in (report.plan.get("gates") or {}).values()):
        raise InputError(
            f"the plan of {run} has no [gates]; add them to the plan and run the audit again: a "
            f"finished run is only evaluated again"
        )


def apply_gates(report: Report, folder: Path) -> None:
    """Write junit.xml and the summary of a CI job; exit with code 1 unless all gates pass."""
    from robust.report.formats.junit import write_junit
    from robust.report.gates import judge_gates
    from robust.report.tables.gates import failed_gate_lines

    results = judge_gates(report)
    print_errors(failed_gate_lines(results))
    write_junit(report, folder)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        from robust.report.formats.job_summary import append_summary

        append_summary(report, Path(summary))
    if not all(result.passed for result in results):
        raise typer.Exit(FAILED)


def print_errors(lines: list[str]) -> None:
    """Lines for stderr, each with the program's name."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    for line in lines:
        console.print(f"robust: {line}", markup=False)


def write_text(out: Path, text: str) -> None:
    """Write all of a file or nothing; InputError where it cannot be written.

    File names in it that are not valid UTF-8 keep their bytes.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(out, text.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror}") from None
