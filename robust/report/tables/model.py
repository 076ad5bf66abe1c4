"""A table as values: columns, lines and cells, before any format renders them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class TableCell:
    """One entry: a number with its interval, or a name."""

    text: str
    interval: str = ""
    path: str = ""
    """JSON pointer to its estimate in report.json; empty for text."""
    share: float | None = None
    """For shading a count: its part of the line's sum."""
    mark: str = ""
    """Stands behind the text and weakens it; the table's note says what it means."""
    heat: float | None = None
    """For shading, from -1 to 1: two colours, one for either side of 0."""
    framed: bool = False


@dataclass(frozen=True)
class Column:
    title: str
    term: str = ""
    """Its entry in the glossary."""


@dataclass(frozen=True)
class TableRow:
    cells: tuple[TableCell, ...]
    strong: bool = False
    opens: bool = False
    """Begins a block of lines that belong together."""
    filters: Mapping[str, str] = field(default_factory=dict)
    """What a reader may filter by."""


@dataclass(frozen=True)
class Table:
    name: str
    """An id within the page."""
    title: str
    columns: tuple[Column, ...]
    lines: tuple[TableRow, ...]
    note: str = ""


def texts(lines: Iterable[TableRow]) -> list[Sequence[str]]:
    """Lines as plain text, each number with its interval."""
    return [[f"{c.text}{c.mark} {c.interval}".strip() for c in line.cells] for line in lines]
