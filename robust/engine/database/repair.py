"""Verification of a run's database, and the repair of a damaged one from what still verifies."""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from robust.engine.database.connection import LOG
from robust.engine.database.errors import DATABASE_ERRORS, is_damage
from robust.engine.database.tables import (
    CHUNKS_WIDTH,
    LAYOUT,
    META_WIDTH,
    SCHEMA,
    TABLES,
    ChunkChecksum,
    Row,
    checksum_key,
    insert,
    memo_checksum,
    part_of,
)
from robust.errors import first_line
from robust.printable import one_line
from robust.units import at_eps

IDENTITY = "identity|"
"""What the keys of the rows begin with that say whose run it is."""
_PUBLIC = ("layout", "key")
"""Keys of `meta`, beside the identity, that are read before the identity is known."""
_KEYS = {"meta": "key", "chunks": "cell, chunk"} | {t.name: ", ".join(t.keys) for t in TABLES}
_WIDTHS = {"meta": META_WIDTH, "chunks": CHUNKS_WIDTH} | {t.name: t.width for t in TABLES}
_SIZED = (str, bytes)
_HEADER = 100
"""Bytes at the start of a database that describe it."""
_CONSTANT = (slice(0, 18), slice(20, 24), slice(44, 92))
"""The parts of it that are the same in every database of a run."""
_FORMAT = 2
"""The newest format of a database file."""
_OLD_META = re.compile(r"CREATE TABLE meta \([\w ,]+\)")
_MOST_FLIPPED = 16
"""Characters by which the statement of a table may differ from ours, of the same length."""


@dataclass(frozen=True)
class Damage:
    """What did not verify in the database of a run; none of it is used."""

    chunks: tuple[tuple[str, int], ...]
    """Finished chunks that run again: cell and number."""
    memos: tuple[str, ...]
    """Keys of values that are computed again."""
    structure: str
    """What SQLite says of the file; empty where it can be read."""
    strays: tuple[str, ...]
    """Cells and sources with rows of no chunk: that a chunk was finished may be what is lost."""
    kept: int
    """How many chunks verify."""

    def lines(self, chunk: int, cases: int) -> list[str]:
        """What happened, for the terminal; `chunk` is the cases of a chunk, of so many `cases`."""
        again = "will run again"
        lines = []
        if self.structure:
            lines.append(
                f"the run file is damaged ({self.structure}): {self.kept} of its parts are whole "
                f"and kept, the rest {again}"
            )
        by_cell: dict[str, list[int]] = {}
        for cell, number in self.chunks:
            by_cell.setdefault(cell, []).append(number)
        for cell, numbers in by_cell.items():
            places = ", ".join(_places(*one, chunk, cases) for one in _spans(sorted(numbers)))
            lines.append(f"the run file is damaged: {_words(cell)}, cases {places}, {again}")
        if self.memos:
            names = ", ".join(sorted({one_line(key.split("|")[0])[:40] for key in self.memos}))
            lines.append(f"the run file is damaged: {names}: computed again")
        if self.strays and not self.structure:
            names = ", ".join(map(_words, self.strays[:10]))
            lines.append(
                f"the run file is damaged: rows of {names} that belong to no finished part were "
                f"left out; what is missing {again}"
            )
        return lines[:20]


def chunk_words(cell: str, number: int, chunk: int, cases: int) -> str:
    """`PGD at 2/255, cases 65 to 128`: one chunk, of `chunk` of so many cases."""
    return f"{_words(cell)}, cases {_places(number, number, chunk, cases)}"


def _places(start: int, end: int, chunk: int, cases: int) -> str:
    return f"{start * chunk + 1} to {min((end + 1) * chunk, max(cases, end * chunk + 1))}"


def _spans(numbers: list[int]) -> list[tuple[int, int]]:
    """First and last of each stretch of consecutive numbers."""
    spans: list[tuple[int, int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1] = spans[-1][0], number
        else:
            spans.append((number, number))
    return spans


def _words(cell: str) -> str:
    """`PGD at 2/255` for the key of a cell; other sources by their names."""
    parts = cell.rsplit("|", 2)
    with contextlib.suppress(ValueError):
        if len(parts) == 3:
            eps = float(parts[2])
            return one_line(at_eps(parts[0], parts[1], None if eps == float("inf") else eps))[:100]
    return "clean predictions" if cell == "clean" else one_line(cell)[:100]


@dataclass
class Survey:
    """Everything in a database that verifies, and what does not."""

    memos: dict[str, Row] = field(default_factory=dict)
    """Rows of `meta`, by key."""
    chunks: dict[int, Row] = field(default_factory=dict)
    """Rows of `chunks`, by the number that their rows carry."""
    bad_chunks: list[tuple[str, int]] = field(default_factory=list)
    bad_memos: list[str] = field(default_factory=list)
    strays: set[str] = field(default_factory=set)
    """Cells and sources of rows that belong to no chunk."""
    structure: str = ""

    @property
    def damage(self) -> Damage | None:
        """None where everything verifies."""
        if not (self.bad_chunks or self.bad_memos or self.strays or self.structure):
            return None
        return Damage(
            tuple(self.bad_chunks),
            tuple(self.bad_memos),
            self.structure,
            tuple(sorted(self.strays)),
            len(self.chunks),
        )


def layout_of(database: sqlite3.Connection) -> str | None:
    """The version of the tables: empty where there are none, None where it cannot be told."""
    try:
        sql = dict(database.execute("SELECT name, sql FROM sqlite_master"))
        if not sql:
            return ""
        meta = str(sql.get("meta"))
        if not (_similar("meta", meta) or _OLD_META.fullmatch(meta)):
            return None
        rows = list(database.execute("SELECT * FROM meta WHERE key = 'layout'"))
    except DATABASE_ERRORS as error:
        if not is_damage(error):
            raise
        return None
    for row in rows:
        if len(row) == META_WIDTH and not _verifies(b"", row):
            return None
        return str(row[1])
    return None


def is_foreign(database: sqlite3.Connection) -> bool:
    """Whether this is a sound database with other tables than those of a run."""
    return not _structure(database) and not set(SCHEMA) & set(_schema(database))


def identity_of(database: sqlite3.Connection) -> dict[str, str]:
    """By name: what the run was claimed with, as far as it verifies."""
    found = {}
    for row in _scan(database, "meta"):
        if isinstance(row[0], str) and row[0].startswith(IDENTITY) and _verifies(b"", row):
            found[row[0].removeprefix(IDENTITY)] = row[1]
    return found


def key_of(database: sqlite3.Connection) -> bytes:
    """The key of the checksums, as it is kept, or else from what the run was claimed with."""
    for row in _scan(database, "meta"):
        if row[0] == "key" and _verifies(b"", row):
            with contextlib.suppress(ValueError):
                return bytes.fromhex(row[1])[:64]
    return checksum_key(identity_of(database))


def survey(database: sqlite3.Connection, key: bytes) -> Survey:
    """Read a whole database and verify every row of it."""
    found = Survey(structure=_structure(database))
    if _schema(database) != SCHEMA:
        found.structure = found.structure or "its tables are not those of a run"
    for row in _scan(database, "meta"):
        name = row[0]
        public = isinstance(name, str) and (name.startswith(IDENTITY) or name in _PUBLIC)
        if _verifies(b"" if public else key, row):
            found.memos[name] = row
        else:
            found.bad_memos.append(str(name))
    claimed: dict[int, Row] = {}
    for row in _scan(database, "chunks"):
        # Where its name is what is damaged, only its rows can tell what is lost.
        if row[2] in claimed or row[2] != part_of(*row[:2]):
            found.bad_chunks.append(_name(row))
        else:
            claimed[row[2]] = row
    sums = {part: ChunkChecksum(key) for part in claimed}
    for table in TABLES:
        for row in _scan(database, table.name):
            mine = sums.get(table.part(row))
            if mine is None:
                found.strays.add(str(row[0]) if len(table.keys) > 1 else "clean")
            else:
                mine.add(table.name, row)
    for part, row in claimed.items():
        cell, number, _, seconds, rows, checksum = row
        mine = sums[part]
        if mine.rows == rows and mine.finish(cell, number, part, seconds) == checksum:
            found.chunks[part] = row
        else:
            found.bad_chunks.append(_name(row))
    return found


def salvage(damaged: sqlite3.Connection, whole: Survey, new: sqlite3.Connection) -> None:
    """Copy all that verifies into a new, empty database; the identity is left to its claimer."""
    with new:
        create_tables(new)
        kept = [row for name, row in whole.memos.items() if not _is_public(name)]
        new.executemany(insert("meta", META_WIDTH), kept)
        new.executemany(insert("chunks", CHUNKS_WIDTH), whole.chunks.values())
        for table in TABLES:
            rows = _scan(damaged, table.name)
            new.executemany(
                table.insert(), (row for row in rows if table.part(row) in whole.chunks)
            )


def create_tables(database: sqlite3.Connection) -> None:
    """Create the tables of a new database, all or none."""
    for statement in SCHEMA.values():
        database.execute(statement)
    put_memo(database, b"", "layout", LAYOUT)


def put_memo(database: sqlite3.Connection, key: bytes, name: str, value: str) -> None:
    """Set one row of `meta`."""
    row = (name, value, memo_checksum(key, name, value))
    database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?, ?)", row)


def has_header(path: Path, database: sqlite3.Connection) -> bool:
    """Whether SQLite can read a database with its own header, which is that of every run."""
    with path.open("rb") as file:
        header = file.read(_HEADER)
    ours = _header()
    return bool(_schema(database)) and all(header[part] == ours[part] for part in _CONSTANT)


def _header() -> bytearray:
    with tempfile.TemporaryDirectory(prefix="robust-") as folder:
        path = Path(folder) / "fresh"
        with contextlib.closing(sqlite3.connect(path)) as template, template:
            create_tables(template)
        return bytearray(path.read_bytes()[:_HEADER])


def salvage_without_header(path: Path, new: sqlite3.Connection, found: Survey, key: bytes) -> None:
    """As `salvage`, from a file with a damaged header; adds to `found` what verifies.

    All fields at the start of the file but the number of pages are the same in every database of a
    run, so those of a new one can stand in for them.
    """
    header = _header()
    with tempfile.TemporaryDirectory(prefix="robust-") as folder:
        copy = Path(folder) / "copy"
        shutil.copyfile(path, copy)
        log = path.with_name(path.name + LOG)
        if log.exists():
            shutil.copyfile(log, copy.with_name(copy.name + LOG))
        pages = copy.stat().st_size // int.from_bytes(header[16:18], "big")
        header[28:32] = (pages % 2**32).to_bytes(4, "big")
        with copy.open("r+b") as file:
            file.write(header)
        with contextlib.closing(sqlite3.connect(copy)) as damaged:
            again = survey(damaged, key)
            found.memos, found.chunks = again.memos, again.chunks
            found.bad_memos, found.bad_chunks = again.bad_memos, again.bad_chunks
            salvage(damaged, again, new)


def _is_public(name: str) -> bool:
    return name.startswith(IDENTITY) or name in _PUBLIC


def _verifies(key: bytes, row: Row) -> bool:
    name, value, checksum = row
    if not isinstance(name, str) or not isinstance(value, str):
        return False
    return bool(checksum == memo_checksum(key, name, value))


def _name(row: Row) -> tuple[str, int]:
    """Cell and number of a chunk, whatever stands there."""
    cell, number = row[:2]
    small = isinstance(number, int) and 0 <= number < 1 << 40
    return str(cell), number if small else 0


def _structure(database: sqlite3.Connection) -> str:
    try:
        if _newest_format(database) > _FORMAT:
            return "its header asks for a newer SQLite"  # to which it would be read-only
        for (line,) in database.execute("PRAGMA quick_check(1)"):
            return "" if line == "ok" else first_line(ValueError(str(line).split(": ")[-1]))
    except DATABASE_ERRORS as error:
        if not is_damage(error):
            raise
        return first_line(error)
    return ""


def _newest_format(database: sqlite3.Connection) -> int:
    """The format that a program must know to write to the file; 0 where there is no file."""
    (path,) = (row[2] for row in database.execute("PRAGMA database_list") if row[1] == "main")
    if not path:
        return 0
    with open(path, "rb") as file:
        return max(file.read(_HEADER)[18:20], default=0)


def _schema(database: sqlite3.Connection) -> Mapping[str, str]:
    try:
        rows = list(database.execute("SELECT type, name, sql FROM sqlite_master"))
    except DATABASE_ERRORS as error:
        if not is_damage(error):
            raise
        return {}
    return {name if kind == "table" else f"{kind} {name}": sql for kind, name, sql in rows}


def _similar(table: str, sql: object) -> bool:
    """Whether a statement is ours, a few damaged characters aside.

    What it creates is then a table, not a view or a computed column that runs for ever.
    """
    ours = SCHEMA[table]
    if not isinstance(sql, str) or len(sql) != len(ours):
        return False
    return sum(a != b for a, b in zip(sql, ours, strict=True)) <= _MOST_FLIPPED


def _scan(database: sqlite3.Connection, table: str) -> Iterator[Row]:
    """The rows of a table in the order of their keys, as many as can be read, from both ends."""
    keys = _KEYS[table].split(", ")
    if not _similar(table, _schema(database).get(table)):
        return
    # Damaged pages can name each other in circles.
    pages, size = (database.execute(f"PRAGMA {name}") for name in ("page_count", "page_size"))
    most = 2 * pages.fetchone()[0] * size.fetchone()[0]
    last: Row | None = None
    try:
        for row in _rows(database, f"SELECT * FROM {table}", _WIDTHS[table], most):
            yield row
            last = row[: len(keys)]
        return
    except DATABASE_ERRORS as error:
        if not is_damage(error):
            raise
    descending = ", ".join(f"{key} DESC" for key in keys)
    end: list[Row] = []
    try:
        query = f"SELECT * FROM {table} ORDER BY {descending}"
        for row in _rows(database, query, _WIDTHS[table], most):
            if row[: len(keys)] == last:
                break
            end.append(row)
    except DATABASE_ERRORS as error:
        if not is_damage(error):
            raise
    yield from reversed(end)


def _rows(database: sqlite3.Connection, query: str, width: int, most: int) -> Iterator[Row]:
    """Rows of so many values, of at most so many bytes together."""
    for row in database.execute(query):
        for value in row:
            if type(value) in _SIZED:
                most -= len(value)
        if len(row) != width or most < 0:
            return
        yield row
