"""The columns in use of one or several tables, as text; further tables joined on shared columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from robust.cases.tables.table_file import TableFile
from robust.errors import InputError, did_you_mean, excerpt
from robust.plan.paths import find_table_file

Column = list[str]
"""Cells as text, without blanks around them; an empty cell is the empty text."""

_WHOLE = re.compile(r"(-?\d+)\.0+")


@dataclass(frozen=True)
class Tables:
    """The tables of a data set: stacked, then joined. The header is that of all together."""

    stacked: tuple[TableFile, ...]
    joined: tuple[TableFile, ...]

    @classmethod
    def open(cls, root: Path, tables: Sequence[str], join: Sequence[str]) -> Tables:
        """The files, looked for in `root` and then in the current folder; InputError."""
        return cls(
            tuple(TableFile(find_table_file(root, name)) for name in tables),
            tuple(TableFile(find_table_file(root, name)) for name in join),
        )

    @property
    def name(self) -> str:
        """What messages call the tables."""
        return ", ".join(file.path.name for file in self.stacked)

    @cached_property
    def own_header(self) -> tuple[str, ...]:
        """Columns that all stacked tables have."""
        first, *others = self.stacked
        shared = [frozenset(other.header) for other in others]
        return tuple(n for n in first.header if all(n in other for other in shared))

    @cached_property
    def header(self) -> tuple[str, ...]:
        """Columns of the stacked tables, then those that the joined ones add."""
        names = (*self.own_header, *(name for file in self.joined for name in file.header))
        return tuple(dict.fromkeys(names)) if self.joined else names

    def require(self, name: str, role: str, remedy: str = "") -> str:
        """The name of a column that is there; InputError names its neighbours."""
        if name not in self.header:
            raise InputError(
                f"{self.name} has no {role} column {excerpt(name)!r}{remedy}; "
                f"{did_you_mean(name, self.header)}"
            )
        return name

    def read(
        self,
        names: Collection[str],
        one_line: Collection[str],
        may_lack: Callable[[TableFile], bool] = lambda file: False,
    ) -> dict[str, Column]:
        """The columns of `names` that there are, with those that joins need.

        InputError where a join does not say for each row what belongs to it; `may_lack` names the
        joined tables of which a row may have no partner.
        """
        known: list[str] = list(self.own_header)
        keys: set[str] = set()
        for file in self.joined:
            shared = [name for name in file.header if name and name in known]
            if not shared:
                raise InputError(
                    f"{file.path} shares no column with {self.name}, so its rows belong to none; "
                    f"{self.name} has {', '.join(map(excerpt, known[:12]))}"
                )
            keys.update(shared)
            known += [name for name in file.header if name not in known]
        wanted = set(names) | keys
        rows = self._stack(wanted, one_line)
        for file in self.joined:
            _join(self.name, rows, file, wanted, may_lack(file))
        return {name: cells for name, cells in rows.items() if name in wanted}

    def _stack(self, wanted: Collection[str], one_line: Collection[str]) -> dict[str, Column]:
        own = [name for name in self.own_header if name in wanted]
        found: dict[str, Column] = {name: [] for name in own}
        for file in self.stacked:
            cells = file.columns(own, one_line)
            for name in own:
                found[name] += cells[name]
        return found


def _join(
    name: str, rows: dict[str, Column], file: TableFile, wanted: Collection[str], may_lack: bool
) -> None:
    """Add to `rows` the columns of a table with one row for each key; InputError."""
    shared = [column for column in file.header if column and column in rows]
    added = [column for column in file.header if column in wanted and column not in rows]
    right = file.columns([*shared, *added])
    on = ", ".join(map(excerpt, shared))
    places: dict[tuple[str, ...], int] = {}
    double = 0
    for place, key in enumerate(_keys(right, shared)):
        double += places.setdefault(key, place) != place
    if double:
        raise InputError(
            f"{file.path} has {double} rows whose {on} stands in a row before; to be joined it "
            f"needs one row for each"
        )
    partners = [places.get(key, -1) for key in _keys(rows, shared)]
    missing = partners.count(-1)
    if missing and not may_lack:
        raise InputError(
            f"{missing} of {len(partners)} rows of {name} have a {on} that {file.path} does not "
            f'have; take them out, or, where they lack the label, set blank = "exclude"'
        )
    for column in added:
        cells = right[column]
        rows[column] = [cells[place] if place >= 0 else "" for place in partners]


def _keys(rows: dict[str, Column], shared: Sequence[str]) -> Iterable[tuple[str, ...]]:
    """The cells that are joined on; 7.0 is 7, as another program writes it."""
    return zip(*([_WHOLE.sub(r"\1", cell) for cell in rows[name]] for name in shared))
