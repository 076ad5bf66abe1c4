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
from robust.units import NORMS, distance_field

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
    def norms(self) -> list[str]:
        """Norms of the distances in the table: L-inf and L2, and any other of an attack."""
        used = {"Linf", "L2", *(cell.threat.norm for cell in self.cells)}
        return [norm for norm in NORMS if norm in used]

    @property
    def own_cells(self) -> Iterator[Cell]:
        """The attacks that were run, without those that repeat another."""
        return (cell for cell in self.cells if cell.same_as is None)

    def distances(self, outcome: Outcome) -> list[float | None]:
        """Those of the columns `distance_fields`."""
        return [finite(outcome.distance(norm)) for norm in self.norms]

    @property
    def distance_fields(self) -> list[tuple[str, pa.DataType]]:
        """Columns of distances."""
        return [(distance_field(norm), pa.float64()) for norm in self.norms]


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
