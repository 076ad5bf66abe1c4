"""What sets the members of a sweep apart: paired differences, spread by source, learning curves."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from robust.errors import InputError
from robust.records import Report
from robust.records.sweep import SweepReport
from robust.sweeps.case_scores import CaseScores, case_scores
from robust.sweeps.differences import level_differences, member_differences


@dataclass(frozen=True)
class Analysis:
    """What an analysis starts from."""

    sweep: SweepReport
    """With its numbers."""
    reports: Mapping[str, Report]
    """Of finished members, by name."""
    runs: Mapping[str, Path]
    """Folder of each member's run."""
    wanted: Mapping[str, float] = field(default_factory=dict)
    """By measure the value that is to be reached with enough training images."""


def analyse(one: Analysis) -> SweepReport:
    """The sweep with differences, spread and learning curves."""
    sweep = one.sweep
    notes = list(sweep.notes)
    scores: dict[str, CaseScores] = {}
    for name, report in one.reports.items():
        try:
            scores[name] = case_scores(one.runs[name], report)
        except InputError as error:
            notes.append(f"{name} has no paired differences: {error}")
    differences = (
        *level_differences(sweep.axes, sweep.members, scores),
        *member_differences(sweep.members, scores),
    )
    return dataclasses.replace(sweep, differences=differences, notes=tuple(notes))
