"""A sweep: the models of a grid, their numbers in long form, and what sets them apart."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from robust.errors import InputError, excerpt
from robust.files import read_text, write_atomically
from robust.records.estimate import Estimate
from robust.records.from_plain import record_from
from robust.records.report import MOST_BYTES
from robust.records.sweep_statistics import LearningCurve, PairedDifference, Spread

SWEEP = "sweep.json"
"""In the folder of a sweep."""
SWEEP_VERSION = 1
"""Goes up whenever an older reader would misread a newer sweep."""


@dataclass(frozen=True)
class SweepAxis:
    """One thing that was varied."""

    name: str
    """Its name: `architecture`, `seed`, `train fraction`."""
    levels: tuple[str, ...]
    """Its values as text, in the order of the grid."""
    kind: Literal["fixed", "random"] = "fixed"
    """`fixed`: its levels are what the sweep asks about. `random`: they are draws of many, such as
    seeds, folds, training images and machines."""


@dataclass(frozen=True)
class SweepMember:
    """One model of the grid, with its audit."""

    name: str
    """Its levels in a line, unique in the sweep."""
    levels: Mapping[str, str]
    """Its level on each axis."""
    run: str
    """Folder of its audit, relative to that of the sweep; empty where runs lie elsewhere."""
    training: str = ""
    """Folder of its model, likewise; empty where it was not trained here."""
    train_images: int | None = None
    """Number of images that it learned from; None where that is not known."""
    flags: tuple[str, ...] = ()
    """Warnings of its report, by name."""
    why_not: str = ""
    """Why there is no report; empty where there is one."""


@dataclass(frozen=True)
class SweepNumber:
    """One number of one member."""

    member: str
    """Name of the member."""
    measure: str
    """`clean accuracy`, `robust accuracy`, `AUC`, `detector AUC` and so on."""
    condition: str
    """`clean`, `worst case, L∞ 1/255`, an attack with its eps, or a detector and an attack."""
    estimate: Estimate
    """The number with its interval."""


@dataclass(frozen=True, repr=False)
class SweepReport:
    """What came out of a sweep."""

    title: str
    """Title, from sweep.toml."""
    axes: tuple[SweepAxis, ...]
    """What was varied, in the order of the grid."""
    members: tuple[SweepMember, ...]
    """Every model of the grid, finished or not."""
    numbers: tuple[SweepNumber, ...] = ()
    """The numbers of those that are finished, in long form."""
    differences: tuple[PairedDifference, ...] = ()
    """Between members on the same cases."""
    spread: tuple[Spread, ...] = ()
    """How much of the spread of a number comes from each axis."""
    curves: tuple[LearningCurve, ...] = ()
    """Accuracy against the number of training images."""
    notes: tuple[str, ...] = ()
    """Caveats of the whole sweep."""
    version: int = field(default=SWEEP_VERSION)
    """Version of this format."""

    def __repr__(self) -> str:
        """One line: the numbers are many."""
        return f"<SweepReport {self.title!r}: {len(self.finished)} of {len(self.members)} models>"

    @property
    def finished(self) -> tuple[SweepMember, ...]:
        """Members with a report."""
        named = {number.member for number in self.numbers}
        return tuple(member for member in self.members if member.name in named)

    @property
    def is_comparison(self) -> bool:
        """Whether its models were trained and audited elsewhere: runs that were compared."""
        return not any(member.run or member.training for member in self.members)

    def to_json(self) -> str:
        """The sweep as JSON."""
        return json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False)

    def save(self, folder: str | Path) -> None:
        """Write sweep.json."""
        text = self.to_json().encode("utf-8", "backslashreplace").decode("utf-8")
        write_atomically(Path(folder) / SWEEP, text)

    @classmethod
    def load(cls, folder: str | Path) -> SweepReport:
        """The sweep.json of a folder; InputError."""
        path = Path(folder) / SWEEP
        try:
            raw: dict[str, Any] = json.loads(read_text(path, MOST_BYTES))
            version = raw["version"]
            if version == SWEEP_VERSION:
                found: SweepReport = record_from(cls, raw)
                return found
        except InputError:
            raise
        except (ValueError, KeyError, TypeError, RecursionError):
            raise InputError(f"{excerpt(path, 300)} is not a sweep that robust wrote") from None
        raise InputError(
            f"{excerpt(path, 300)} has version {excerpt(version)}, this robust reads "
            f"{SWEEP_VERSION}; use the version that wrote it"
        )
