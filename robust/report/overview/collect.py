"""What lies below a folder: runs, comparisons, sweeps, audits of several findings."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from robust.errors import InputError, excerpt
from robust.files import cannot
from robust.plan.paths import REPORT, RUN
from robust.records import GALLERY, INDEX, SWEEP, Estimate, FindingsReport, Report, SweepReport
from robust.report import is_unfinished, read_report
from robust.report.comparison.show import TITLE
from robust.report.comparison.write import COMPARISON, read_comparison
from robust.report.gates import judge_gates
from robust.report.text.format import counted, listed
from robust.report.text.headline import Verdict, verdicts
from robust.report.text.provenance import provenance_facts

PAGES = ("report.html", "regulatory.html")
"""Pages that a run may have, the first of which is linked."""
MOST_LEVELS = 12
"""Levels of an axis that are named."""
_MARKS = (REPORT, RUN, INDEX, COMPARISON, SWEEP)


@dataclass(frozen=True)
class RunLine:
    """What the page says of one run."""

    folder: Path
    page: Path | None
    """None where the report was not written as a page, or has been removed."""
    title: str
    model: str
    audited: str
    """UTC in ISO 8601; empty where it is not known."""
    clean: Estimate | None
    """Accuracy without attack."""
    worst: Verdict | None
    """That of the threat with the lowest robust accuracy, the smallest one of several; None where
    nothing was measured."""
    gates: tuple[int, int]
    """Gates that passed, and all of them."""
    flags: int


@dataclass(frozen=True)
class OtherPage:
    """A comparison, a sweep, or an audit of several findings."""

    folder: Path
    page: Path | None
    title: str
    compared: tuple[str, ...]
    """The runs of a comparison, the axes of a sweep with their levels, the findings."""
    holds: str
    """How much of what it holds is finished, or on how much it was compared, in words."""


@dataclass(frozen=True)
class Overview:
    """Everything found below a folder, in the order of the page."""

    root: Path
    runs: tuple[RunLine, ...]
    """The newest first."""
    comparisons: tuple[OtherPage, ...]
    sweeps: tuple[OtherPage, ...]
    findings: tuple[OtherPage, ...]
    unfinished: tuple[Path, ...]
    """Folders of runs that have no report yet."""
    unreadable: tuple[tuple[Path, str], ...]
    """Files and folders that could not be read, each with the reason."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing of robust below the folder."""
        found = (self.runs, self.comparisons, self.sweeps, self.findings)
        return not any((*found, self.unfinished, self.unreadable))


def collect_runs(root: Path, seen: Callable[[int], None] = lambda _: None) -> Overview:
    """Read every report below a folder; links are not followed, hidden folders are left out.

    `seen` is told after each folder of robust how many there were. A file that is no report does
    not stop it: it is named with the reason. InputError where `root` is no folder.
    """
    runs: list[RunLine] = []
    comparisons: list[OtherPage] = []
    sweeps: list[OtherPage] = []
    findings: list[OtherPage] = []
    unfinished: list[Path] = []
    unreadable: list[tuple[Path, str]] = []
    if not root.is_dir():
        raise InputError(f"no such folder: {excerpt(root, 300)}; name one that holds runs")
    for number, (folder, marks) in enumerate(_marked(root, unreadable), 1):
        for mark in marks:
            try:
                if mark == REPORT:
                    runs.append(_run(folder, read_report(folder)))
                elif mark == RUN and is_unfinished(folder):
                    unfinished.append(folder)
                elif mark == COMPARISON:
                    comparisons.append(_comparison(folder))
                elif mark == SWEEP:
                    found = SweepReport.load(folder)
                    kind = comparisons if found.is_comparison else sweeps
                    kind.append(_sweep(folder, found))
                elif mark == INDEX:
                    findings.append(_several(folder))
            except InputError as error:
                unreadable.append((folder / mark, str(error)))
        seen(number)
    runs.sort(key=lambda run: (run.audited, str(run.folder)), reverse=True)
    return Overview(
        *(root, tuple(runs), tuple(comparisons), tuple(sweeps), tuple(findings)),
        *(tuple(unfinished), tuple(unreadable)),
    )


def overview_values(overview: Overview) -> dict[str, Any]:
    """The same as plain values, for another program; folders as they were found."""
    return {
        "runs": [_run_values(run) for run in overview.runs],
        "comparisons": [_page_values(one) for one in overview.comparisons],
        "sweeps": [_page_values(one) for one in overview.sweeps],
        "findings": [_page_values(one) for one in overview.findings],
        "unfinished": [str(folder) for folder in overview.unfinished],
        "unreadable": [{"path": str(path), "why": why} for path, why in overview.unreadable],
    }


def _run_values(run: RunLine) -> dict[str, Any]:
    values: dict[str, Any] = {
        "folder": str(run.folder),
        "page": None if run.page is None else str(run.page),
        "title": run.title,
        "audited": run.audited,
        "accuracy": None if run.clean is None else asdict(run.clean),
        "gates": {"passed": run.gates[0], "all": run.gates[1]},
        "flags": run.flags,
        "worst": None,
    }
    if run.worst is not None:
        case, noise = run.worst.worst_case, run.worst.noise
        accuracy = case.scores.robust_accuracy
        control = None if noise is None else noise.scores.robust_accuracy
        values["worst"] = {
            "norm": case.norm,
            "eps": case.eps,
            "verdict": run.worst.word,
            "robust_accuracy": None if accuracy is None else asdict(accuracy),
            "noise": None if control is None else asdict(control),
        }
    return values


def _page_values(one: OtherPage) -> dict[str, Any]:
    return {
        "folder": str(one.folder),
        "page": None if one.page is None else str(one.page),
        "title": one.title,
        "compared": list(one.compared),
        "holds": one.holds,
    }


def _marked(
    root: Path, unreadable: list[tuple[Path, str]]
) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Folders with files of robust, and these."""

    def refused(error: OSError) -> None:
        place = Path(error.filename)
        unreadable.append((place, cannot(place, "be read", error)))

    for name, folders, files in os.walk(root, onerror=refused):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f != GALLERY)
        if marks := tuple(mark for mark in _MARKS if mark in files):
            yield Path(name), marks


def _run(folder: Path, report: Report) -> RunLine:
    judged = judge_gates(report)
    return RunLine(
        folder,
        _page(folder, *PAGES),
        report.title,
        dict(provenance_facts(report))["Model"],
        report.timings.audited,
        report.clean.scores.accuracy,
        _worst(verdicts(report)),
        (sum(gate.passed for gate in judged), len(judged)),
        len(report.flags),
    )


def _worst(threats: list[Verdict]) -> Verdict | None:
    """The threat of the lowest robust accuracy; those of a norm stand in ascending order."""
    known = [
        (accuracy.value, place)
        for place, threat in enumerate(threats)
        if (accuracy := threat.worst_case.scores.robust_accuracy) is not None
    ]
    return threats[min(known)[1]] if known else None


def _comparison(folder: Path) -> OtherPage:
    found = read_comparison(folder)
    holds = f"{counted(found.cases, 'case')} of {counted(found.groups, 'group')}"
    page = _page(folder, "comparison.html")
    return OtherPage(folder, page, TITLE, (found.old, found.new), holds)


def _sweep(folder: Path, sweep: SweepReport) -> OtherPage:
    if sweep.is_comparison:
        compared = tuple(member.name for member in sweep.members)
        holds = counted(len(sweep.members), "run")
    else:
        compared = tuple(f"{a.name}: {listed(a.levels, MOST_LEVELS)}" for a in sweep.axes)
        holds = f"{len(sweep.finished)} of {len(sweep.members)} models"
    return OtherPage(folder, _page(folder, "sweep.html"), sweep.title, compared, holds)


def _several(folder: Path) -> OtherPage:
    found = FindingsReport.load(folder)
    holds = f"{len(found.reports)} of {len(found.entries)} findings"
    names = tuple(entry.finding for entry in found.entries)
    return OtherPage(folder, _page(folder, *PAGES), found.title, names, holds)


def _page(folder: Path, *names: str) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)
