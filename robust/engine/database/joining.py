"""Copies of databases, and joins of one run's: chunks that one lacks, checksums included.

All of them are keyed with the identity of the run, and a chunk has the same number in all of them.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from robust.engine.database.connection import connect_to_write
from robust.engine.database.repair import put_memo
from robust.engine.database.tables import TABLES, ChunkChecksum

_CACHE = 256 << 10
"""KiB of pages kept in memory: shards take turns in every part of the tables."""


def copy_database(database: sqlite3.Connection, path: Path) -> None:
    """Write all that a database holds now to a file that needs no other beside it."""
    copy = connect_to_write(path)
    try:
        database.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
    finally:
        copy.close()


def join(target: Path, others: Sequence[Path], key: bytes, memos: Mapping[str, str]) -> None:
    """Copy into a database every chunk of `others` that it lacks, and set its memos.

    If it fails, the target is of no use: it must be a copy that takes its place afterwards.
    """
    database = connect_to_write(target)
    try:
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.execute(f"PRAGMA cache_size = -{_CACHE}")
        for other in others:
            # As bytes: a name may be no UTF-8.
            database.execute("ATTACH ? AS other", (os.fsencode(other),))
            with database:
                _copy_new(database)
            database.execute("DETACH other")
        with database:
            for name, text in memos.items():
                put_memo(database, key, name, text)
    finally:
        database.close()
    with target.open("r+b") as written:
        os.fsync(written.fileno())


def _copy_new(database: sqlite3.Connection) -> None:
    database.execute("CREATE TEMP TABLE new (part INTEGER PRIMARY KEY)")
    database.execute(
        "INSERT INTO new SELECT part FROM other.chunks AS theirs WHERE NOT EXISTS"
        " (SELECT 1 FROM main.chunks AS ours"
        " WHERE ours.cell = theirs.cell AND ours.chunk = theirs.chunk)"
    )
    for name in ("chunks", *(table.name for table in TABLES)):
        database.execute(
            f"INSERT INTO main.{name} SELECT * FROM other.{name}"
            " WHERE part IN (SELECT part FROM temp.new)"
        )
    database.execute("DROP TABLE temp.new")


def chunk_sums(database: sqlite3.Connection) -> dict[tuple[str, int], tuple[int, bytes]]:
    """By cell and number: the part and the checksum of every chunk."""
    rows = database.execute("SELECT cell, chunk, part, checksum FROM chunks")
    return {(cell, chunk): (part, checksum) for cell, chunk, part, checksum in rows}


def content_sums(database: sqlite3.Connection, parts: Collection[int]) -> dict[int, bytes]:
    """Digests of the rows of these parts, whatever time they took."""
    sums = {part: ChunkChecksum(b"") for part in parts}
    for table in TABLES:
        place = len(table.keys)
        order = ", ".join(table.keys)
        for row in database.execute(f"SELECT * FROM {table.name} ORDER BY {order}"):
            if mine := sums.get(row[place]):
                mine.add(table.name, (*row[:place], *row[place + 1 :]))
    return {part: one.finish("", 0, 0, 0.0) for part, one in sums.items()}
