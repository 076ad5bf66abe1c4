"""Tables as values: columns, rows and cells, before any format renders them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from robust.records import Estimate
from robust.report.text.format import NONE, bracket

NO_INTERVAL = "†"
"""Stands in a cell where an estimate has no interval; the table's note says why."""


@dataclass(frozen=True)
class CellLine:
    """One line of a cell that has several."""

    text: str
    link: str = ""
    """Id of the section of the page that the line leads to; empty without one."""
    path: str = ""
    """JSON pointer into report.json; empty for text."""
    strong: bool = False
    """Whether the line is printed in bold."""


@dataclass(frozen=True)
class TableCell:
    """One cell: a number with its interval, or a name."""

    text: str
    interval: str = ""
    path: str = ""
    """JSON pointer to the estimate in report.json; empty for text."""
    share: float | None = None
    """Shading of a count: its share of the row's sum, in [0, 1]."""
    mark: str = ""
    """A mark behind the text that qualifies it; the table's note explains it."""
    heat: float | None = None
    """Shading of an AUC, in [-1, 1]: one colour above 0, another below."""
    framed: bool = False
    """Whether the cell has a frame."""
    link: str = ""
    """Relative address of a file that the cell leads to on a page; empty without one."""
    groups_needed: int | None = None
    """About how many groups an interval would take; None where there is one or nobody knows."""
    lines: tuple[CellLine, ...] = ()
    """What a page shows in place of the text: the same in lines; empty for one line."""


@dataclass(frozen=True)
class Column:
    """Head of a column."""

    title: str
    term: str = ""
    """Id of its glossary entry; empty without one."""


@dataclass(frozen=True)
class TableRow:
    """One row, with as many cells as the table has columns."""

    cells: tuple[TableCell, ...]
    strong: bool = False
    """Whether the row is printed in bold."""
    opens: bool = False
    """Whether the row begins a block of rows that belong together."""
    filters: Mapping[str, str] = field(default_factory=dict)
    """Values by which a reader may filter rows."""


@dataclass(frozen=True)
class Table:
    """A table with its title and note; without rows it is left out."""

    name: str
    """Id within the page."""
    title: str
    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...]
    note: str = ""
    whole: bool = False
    """Whether no row may be left out where space is short."""

    @property
    def whole_note(self) -> str:
        """The note, and what `NO_INTERVAL` means where a cell has it."""
        cells = [cell for row in self.rows for cell in row.cells if cell.interval == NO_INTERVAL]
        if not cells:
            return self.note
        return f"{self.note} {no_interval_meaning(c.groups_needed for c in cells)}".strip()


def no_interval_meaning(groups_needed: Iterable[int | None]) -> str:
    """What `NO_INTERVAL` means, and about how many groups an interval would take."""
    meaning = f"{NO_INTERVAL} No interval: there are too few groups for one."
    if needed := sorted({count for count in groups_needed if count is not None}):
        span = f"{needed[0]}" if len(needed) == 1 else f"{needed[0]} to {needed[-1]}"
        meaning += f" It would take about {span} groups."
    return meaning


def row_texts(rows: Iterable[TableRow]) -> list[Sequence[str]]:
    """Rows as plain text, each number with its interval."""
    return [[f"{c.text}{c.mark} {c.interval}".strip() for c in row.cells] for row in rows]


def percent_cell(estimate: Estimate | None, path: str, mark: str = "") -> TableCell:
    """A share in percent with its interval; `path` is its JSON pointer."""
    return number_cell(estimate, path, mark, 100, 1)


def auc_cell(estimate: Estimate | None, path: str, mark: str = "", digits: int = 3) -> TableCell:
    """An AUC with its interval; `path` is its JSON pointer."""
    return number_cell(estimate, path, mark, 1, digits)


def number_cell(
    estimate: Estimate | None, path: str, mark: str = "", scale: float = 1, digits: int = 3
) -> TableCell:
    """A number times `scale` with its interval; `path` is its JSON pointer."""
    if estimate is None:
        return TableCell(NONE)
    value = f"{scale * estimate.value:.{digits}f}"
    if estimate.interval is None:
        return TableCell(value, NO_INTERVAL, path, mark=mark, groups_needed=estimate.groups_needed)
    return TableCell(value, bracket(estimate, scale, digits), path, mark=mark)
