"""What the table of every task has: columns of a case and of an attack, and of its metadata."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from robust.cases.case import Cases
from robust.engine.cells import Cell
from robust.engine.run_store import Outcome, RunStore

Line = list[object]
"""Values in the order of the columns."""
UNREADABLE = "file could not be read"
"""The failure of a case without a prediction."""


@dataclass(frozen=True)
class RunContent:
    """What a table is made from."""

    store: RunStore
    cases: Cases
    cells: Sequence[Cell]
    structures: tuple[str, ...]
    """Names of the outlined structures; empty for classification."""

    @property
    def metadata(self) -> list[str]:
        """Names of all metadata columns."""
        return sorted({name for entry in self.cases.entries for name in entry.metadata})

    @property
    def by_slice(self) -> bool:
        """Whether an attack is limited in each slice, so that the table has that distance."""
        return any(cell.threat.norm == "L2-slice" for cell in self.cells)

    @property
    def own_cells(self) -> Iterator[Cell]:
        """The attacks that were run, without those that repeat another."""
        return (cell for cell in self.cells if cell.same_as is None)

    def distances(self, outcome: Outcome) -> list[float | None]:
        """Those of the columns `distance_fields`."""
        known = [outcome.linf, outcome.l2, *([outcome.l2_slice] if self.by_slice else [])]
        return [finite(distance) for distance in known]

    @property
    def distance_fields(self) -> list[tuple[str, pa.DataType]]:
        """Columns of distances."""
        names = ["linf", "l2", *(["l2_slice"] if self.by_slice else [])]
        return [(name, pa.float64()) for name in names]


class TableForm(Protocol):
    """The table of a task."""

    def fields(self, run: RunContent) -> list[pa.Field]:
        """Its columns but those of the metadata."""

    def place(self, run: RunContent) -> int:
        """How many of these columns stand before the metadata."""

    def lines(self, run: RunContent) -> Iterator[Line]:
        """The lines."""


def finite(value: float) -> float | None:
    """The value; None where it is not finite."""
    return value if np.isfinite(value) else None


def blanks(count: int) -> list[None]:
    """That many empty cells."""
    return [None] * count
