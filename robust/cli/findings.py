"""Commands on several findings of one model: audit each, report on all, apply gates to each."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import typer

from robust.cli.output import FAILED, apply_gates, as_plain, make_console, require_gates
from robust.cli.process.manners import emit, manners
from robust.plan.machines import WorkerChoice
from robust.plan.spec import Plan
from robust.progress import progress_bar
from robust.records import FindingEntry, FindingsReport, Report


def audit_each(
    plan: Plan,
    out: Path,
    device: str,
    *,
    skip_broken: bool,
    gate: bool,
    workers: WorkerChoice | None,
) -> None:
    """Audit every finding that a plan asks for, and write and print the report on all."""
    with progress_bar() as progress:
        from robust.auditing.findings import audit_findings
        from robust.report import write_report

        def write(entry: FindingEntry, report: Report) -> None:
            write_report(report, out / entry.folder, "md", "csv", "html")

        found = audit_findings(
            plan,
            out=out,
            device=device,
            skip_broken=skip_broken,
            progress=progress,
            announce=progress.announce,
            workers=workers,
            written=write,
        )
        from robust.report.findings import write_findings

        written = write_findings(found, out)
    _emit(found, out, written)
    _show(found, out, gate=gate)


def report_each(run: Path, formats: list[str] | None, *, gate: bool) -> None:
    """Print the report on several findings of a run, or write it in these formats."""
    from robust.report.findings import read_findings, write_findings

    found = read_findings(run)
    if gate:
        for entry, report in found.reports:
            require_gates(report, run / entry.folder)
    wanted = formats or ([] if manners().as_json else ["text", "html"])
    files = [name for name in wanted if name != "text"]
    written = write_findings(found, run, *files) if files else []
    _emit(found, run, written)
    if "text" in wanted:
        _show(found, run, gate=False)
    for path in written:
        make_console(wrap=False).print(f"wrote {path}")
    if gate:
        _apply_each(found, run)


def _emit(found: FindingsReport, run: Path, files: Sequence[Path]) -> None:
    """Hand over for `--json`: every finding with its report, or why it has none."""

    def result() -> dict[str, object]:
        reports = {entry.folder: as_plain(report) for entry, report in found.reports}
        return {
            "run": str(run),
            "files": [str(path) for path in files],
            "title": found.title,
            "findings": [
                {**dataclasses.asdict(entry), "report": reports.get(entry.folder)}
                for entry in found.entries
            ],
        }

    emit(result)


def _show(found: FindingsReport, out: Path, *, gate: bool) -> None:
    from robust.report.findings import print_findings

    console = make_console()
    print_findings(found, console)
    console.print(f"\nReport: {out / 'report.html'}", soft_wrap=True)
    if gate:
        _apply_each(found, out)


def _apply_each(found: FindingsReport, out: Path) -> None:
    """Apply the gates to every finding; exit with code 1 unless all pass for all.

    A finding that was not audited does not pass.
    """
    failed = bool(found.not_audited)
    for entry, report in found.reports:
        try:
            apply_gates(report, out / entry.folder)
        except typer.Exit:
            failed = True
    if failed:
        raise typer.Exit(FAILED)
