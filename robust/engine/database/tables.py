"""The tables of a run's database, and the checksum that every chunk and every memo carries."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LAYOUT = "7"
"""Version of the tables: a database of another version is refused."""

Row = tuple[Any, ...]
"""The values of one row, in the order of its table's columns, as SQLite gives them back."""

_KINDS = {int: "INTEGER", float: "REAL", str: "TEXT", bytes: "BLOB"}


@dataclass(frozen=True)
class ResultTable:
    """One table of results: its key, the number of the chunk that wrote the row, its columns.

    Each is a single tree without an index beside it, so that reading it once checks all of it.
    """

    name: str
    keys: Mapping[str, type]
    columns: Mapping[str, type]

    @property
    def sql(self) -> str:
        """The statement that creates it."""
        every = {**self.keys, "part": int, **self.columns}
        columns = ", ".join(f"{name} {_KINDS[kind]}" for name, kind in every.items())
        return _create(self.name, columns, ", ".join(self.keys))

    @property
    def width(self) -> int:
        """Number of values in a row."""
        return len(self.keys) + 1 + len(self.columns)

    def delete(self) -> str:
        """The statement that removes a row by its key."""
        return f"DELETE FROM {self.name} WHERE {' AND '.join(f'{key} = ?' for key in self.keys)}"

    def row(self, part: int, values: Sequence[Any]) -> Row:
        """A row as SQLite will give it back, from the values of its key and its columns."""
        kinds = [*self.keys.values(), *self.columns.values()]
        plain = [_plain(kind, value) for kind, value in zip(kinds, values, strict=True)]
        place = len(self.keys)
        return (*plain[:place], part, *plain[place:])

    def part(self, row: Row) -> Any:
        """The number of the chunk that wrote a row."""
        return row[len(self.keys)]

    def ordered(self, rows: Iterable[Row]) -> list[Row]:
        """Rows in the order of their keys, in which SQLite reads them."""
        return sorted(rows, key=lambda row: row[: len(self.keys)])

    def insert(self) -> str:
        """The statement that adds a row."""
        return insert(self.name, self.width)


def _create(name: str, columns: str, keys: str) -> str:
    return f"CREATE TABLE {name} ({columns}, PRIMARY KEY ({keys})) WITHOUT ROWID"


def insert(table: str, width: int) -> str:
    """The statement that adds a row of so many values to a table."""
    return f"INSERT INTO {table} VALUES ({', '.join('?' * width)})"


def _plain(kind: type, value: Any) -> Any:
    """SQLite keeps NaN as NULL, and has no -0.0."""
    if value is None or value != value:
        return None
    return kind(value) + 0.0 if kind is float else kind(value)


TABLES = (
    ResultTable("clean", {"row": int}, {"pixels": str, "broken": str, "kept": bytes}),
    ResultTable(
        "cases",
        {"row": int},
        {
            "id": str,
            "label": int,
            "owner": str,
            "pixel_values": int,
            "grey": int,
            "brightest": float,
            "metadata": str,
        },
    ),
    ResultTable("contents", {"source": str, "row": int}, {"digest": str}),
    ResultTable("fingerprints", {"source": str, "row": int}, {"thumbnail": bytes}),
    ResultTable(
        "outcomes",
        {"cell": str, "row": int},
        {
            "linf": float,
            "l2": float,
            "l2_slice": float,
            "l1": float,
            "l0": float,
            "success": int,
            "saturated": int,
            "passes": float,
            "failure": str,
            "kept": bytes,
        },
    ),
    ResultTable("features", {"source": str, "row": int}, {"vector": bytes}),
    ResultTable(
        "survival",
        {"cell": str, "row": int},
        {
            "computed": int,
            "quantised": int,
            "adversarially_rounded": int,
            "jpeg": int,
            "jpeg_clean": int,
            "eps_levels": float,
            "grey_levels": int,
        },
    ),
)
"""In the order in which a chunk's checksum takes them in."""

CHUNKS_WIDTH, META_WIDTH = 6, 3
SCHEMA = {
    "meta": _create("meta", "key TEXT, value TEXT, checksum BLOB", "key"),
    "chunks": _create(
        "chunks",
        "cell TEXT, chunk INTEGER, part INTEGER, seconds REAL, rows INTEGER, checksum BLOB",
        "cell, chunk",
    ),
    **{table.name: table.sql for table in TABLES},
}
"""By table: the statement that creates it, which SQLite keeps word for word."""


def part_of(cell: str, chunk: int) -> int:
    """The number that all rows of a chunk carry: the same in every store."""
    digest = hashlib.blake2b(repr((cell, chunk)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 2


class ChunkChecksum:
    """Sums up all rows of one chunk: those of each table in turn, in the order of their keys."""

    def __init__(self, key: bytes) -> None:
        self._sum = hashlib.blake2b(key=key, digest_size=16)
        self.rows = 0

    def add(self, table: str, row: Row) -> None:
        """Take in one row."""
        last = row[-1]
        # The text of a value shows its type; a blob, always the last, is taken as it is.
        blob = isinstance(last, bytes)
        end = last if blob else repr(last).encode()
        start = repr((table, *row[:-1])).encode()
        self._sum.update(b"%d %d %d %b%b" % (blob, len(start), len(end), start, end))
        self.rows += 1

    def finish(self, cell: str, chunk: int, part: int, seconds: float) -> bytes:
        """The checksum of the chunk: of its rows, their number, its name and its time."""
        self._sum.update(repr((cell, chunk, part, seconds, self.rows)).encode())
        return self._sum.digest()


def memo_checksum(key: bytes, name: str, value: str) -> bytes:
    """The checksum of one row of `meta`, its name included."""
    return hashlib.blake2b(repr((name, value)).encode(), key=key, digest_size=16).digest()


def checksum_key(identity: Mapping[str, str]) -> bytes:
    """The key of all checksums of a run, so that no chunk of another run ever verifies."""
    return hashlib.blake2b(repr(sorted(identity.items())).encode(), digest_size=32).digest()
