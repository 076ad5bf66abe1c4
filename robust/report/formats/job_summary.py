"""Job summary of a CI: lead, gates and verdicts as Markdown."""

from __future__ import annotations

from pathlib import Path

from robust.errors import InputError
from robust.files import cannot, path_exists
from robust.records import Report
from robust.report.formats.markdown import render_markdown
from robust.report.gates import judge_gates
from robust.report.layout.blocks import DocumentSection, TablesBlock
from robust.report.layout.sections import verdict_blocks
from robust.report.tables.gates import gate_table


def job_summary(report: Report) -> str:
    """Markdown for the page of a CI job."""
    text = render_markdown(report, _order)
    if report.cut_short:
        return f"{text}\nThe run is not finished: give the same audit command again.\n\n"
    return f"{text}\nThe full report is in report.html in the run directory.\n\n"


def append_summary(report: Report, path: Path) -> None:
    """Append the job summary to the file; raises InputError if it cannot be written."""
    try:
        if path_exists(path) and path.is_fifo():  # would wait for a reader
            raise InputError(f"GITHUB_STEP_SUMMARY: {path} is a pipe; name a file")
        with path.open("a", encoding="utf-8", errors="replace") as file:
            file.write(job_summary(report))
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"GITHUB_STEP_SUMMARY: {cannot(path, 'be written', error)}") from None


def _order(report: Report) -> tuple[DocumentSection, ...]:
    results = judge_gates(report)
    failed = sum(not r.passed for r in results)
    title = f"Gates: {failed} of {len(results)} not passed" if failed else "Gates: all passed"
    return (
        DocumentSection("gates", title, (TablesBlock((gate_table(results),)),)),
        DocumentSection("verdicts", "Verdict for each threat", verdict_blocks(report)),
    )
