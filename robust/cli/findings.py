"""Commands on several findings of one model: audit each, report on all, apply gates to each."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import typer

from robust.cli.output import FAILED, apply_gates, as_plain, make_console, require_gates
from robust.cli.process.manners import emit, manners
from robust.errors import InputError
from robust.plan.machines import WorkerChoice
from robust.plan.spec import Plan, TrackSpec
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


def report_each(
    run: Path, formats: list[str] | None, *, gate: bool, track: TrackSpec | None
) -> None:
    """Print the report on several findings of a run, write it in these formats, or log each."""
    from robust.report.findings import read_findings, write_findings

    found = read_findings(run)
    if gate:
        for entry, report in found.reports:
            require_gates(report, run / entry.folder)
    wanted = formats or ([] if track or manners().as_json else ["text", "html"])
    files = [name for name in wanted if name != "text"]
    written = write_findings(found, run, *files) if files else []
    if "text" in wanted:
        _show(found, run, gate=False)
    for path in written:
        make_console(wrap=False).print(f"wrote {path}")
    tracked = None if track is None else _track_each(found, run, track)
    _emit(found, run, written, tracked)
    if gate:
        _apply_each(found, run)


def _track_each(found: FindingsReport, run: Path, spec: TrackSpec) -> list[str]:
    """Log each finding to MLflow as a run of its own, as an audit of several does; what was said.

    InputError names the finding; those before it stay logged, and the same command goes on.
    """
    from robust.tracking import track_report

    console, said = make_console(wrap=False), []
    with progress_bar() as progress:
        for number, (entry, report) in enumerate(found.reports):
            progress(number, len(found.reports), f"logging {entry.finding} to MLflow")
            try:
                said.append(f"{entry.finding}: {track_report(report, run / entry.folder, spec)}")
            except InputError as error:
                raise InputError(f"{entry.finding}: {error}") from None
            console.print(said[-1])
    for entry in found.not_audited:
        console.print(f"Not tracked: {entry.finding} was not audited: {entry.why_not}")
    return said


def _emit(
    found: FindingsReport,
    run: Path,
    files: Sequence[Path],
    tracked: Sequence[str] | None = None,
) -> None:
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
            **({} if tracked is None else {"tracked": list(tracked)}),
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
