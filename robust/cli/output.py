"""Output that commands share: the console, files, lines on stderr, the exit code of gates."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.segment import Segment

from robust.cli.process.manners import emit, manners
from robust.errors import InputError
from robust.files import cannot, open_regular, path_exists, write_atomically
from robust.printable import one_line, printable
from robust.records import Report

FAILED = 1
"""Exit code where a gate did not pass, or more was lost than the tolerance allows."""

_LINE_ENDS = {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"}


def emit_report(
    report: Report, run: Path, files: Sequence[Path], tracked: Sequence[str] | None = None
) -> None:
    """Hand over for `--json`: the whole report, its gates, and the files that were written.

    `tracked` says where it was logged; None where that was not asked for.
    """
    from robust.report.gates import judge_gates

    emit(
        lambda: {
            "run": str(run),
            "files": [str(path) for path in files],
            "gates": [
                {**dataclasses.asdict(one), "passed": one.passed} for one in judge_gates(report)
            ],
            "report": as_plain(report),
            **({} if tracked is None else {"tracked": list(tracked)}),
        }
    )


def as_plain(report: Report) -> Any:
    """A report as report.json has it."""
    return json.loads(report.to_json())


def require_gates(report: Report, run: Path) -> None:
    """InputError where the plan of a run has no gates; of an unfinished run none will pass."""
    if not any(value is not None for value in (report.plan.get("gates") or {}).values()):
        raise InputError(
            f"the plan of {run} has no [gates]; add them to the plan and run the audit again: a "
            f"finished run is only evaluated again"
        )


def apply_gates(report: Report, folder: Path) -> None:
    """Write junit.xml and the summary of a CI job; exit with code 1 unless all gates pass.

    Gates are judged whether or not the files can be written; InputError where only that fails.
    """
    from robust.report.formats.junit import write_junit
    from robust.report.gates import judge_gates
    from robust.report.tables.gates import failed_gate_lines

    results = judge_gates(report)
    print_errors(failed_gate_lines(results))
    unwritten = ""
    try:
        write_junit(report, folder)
        if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
            from robust.report.formats.job_summary import append_summary

            append_summary(report, Path(summary))
    except OSError as error:
        unwritten = cannot(folder, "be written", error)
    except InputError as error:
        unwritten = str(error)
    if not all(result.passed for result in results):
        print_errors([unwritten] if unwritten else [])
        raise typer.Exit(FAILED)
    if unwritten:
        raise InputError(unwritten)


class _PrintableText(RenderHook):
    """Shows foreign text without what would command the terminal; styles stay."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Printable(renderable) for renderable in renderables]


class _Printable:
    """Something to print, its text made printable after it was laid out."""

    def __init__(self, renderable: ConsoleRenderable) -> None:
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for part in console.render(self._renderable, options):
            yield part if part.control else Segment(printable(part.text), part.style)


def make_console(*, stderr: bool = False, wrap: bool = True) -> Console:
    """Where commands print: names are shown as they are, with nothing that commands a terminal.

    Without `wrap` a line is as long as it is, so that a path in it can be copied. With `--quiet` it
    prints nothing, with `--json` nothing on stdout.
    """
    # Square brackets and :colons: in names are no markup.
    asked = manners()
    console = Console(
        stderr=stderr,
        soft_wrap=not wrap,
        markup=False,
        emoji=False,
        highlight=False,
        quiet=asked.quiet or (asked.as_json and not stderr),
    )
    console.push_render_hook(_PrintableText())
    return console


def print_errors(lines: list[str]) -> None:
    """Lines for stderr, each with the program's name."""
    console = make_console(stderr=True, wrap=False)
    console.quiet = False
    for line in lines:
        console.print(f"robust: {one_line(line)}")


@contextmanager
def one_line_logs() -> Iterator[None]:
    """Until the block ends, each warning that is logged is one line on stderr."""

    class OneLine(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            make_console(stderr=True, wrap=False).print(one_line(record.getMessage()))

    handler = OneLine(logging.WARNING)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)


def write_text(out: Path, text: str) -> None:
    """Write all of a file or nothing; InputError where it cannot be written.

    File names in it that are not valid UTF-8 keep their bytes.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(out, text.encode("utf-8", "surrogateescape"))
    except (OSError, ValueError) as error:
        raise InputError(cannot(out, "be written", error)) from None


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """The table; a row that begins with colons is quoted, lest a CI take it for a command."""
    text = io.StringIO()
    plain = csv.writer(text, lineterminator="\n")
    quoted = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    for row in rows:
        (quoted if str(row[0]).lstrip().startswith(":") else plain).writerow(row)
    return text.getvalue()


def shown_cell(cell: object) -> object:
    r"""A cell for a terminal, on one line: control characters as `\x1b`."""
    return printable(cell.translate(_LINE_ENDS)) if isinstance(cell, str) else cell


def check_table(out: Path, header: str, command: str) -> None:
    """InputError where a table whose first line begins with `header` would replace another file."""
    if path_exists(out):
        if out.is_dir():
            raise InputError(f"{out} is a folder; name a CSV file")
        with open_regular(out) as file:
            is_table = file.readline(1000).startswith(header.encode())
        if not is_table:
            raise InputError(f"{out} exists and is not a table of {command}; name a new file")
