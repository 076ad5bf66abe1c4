"""What a run has found so far: one SQLite file, written chunk by chunk, safe against a kill."""

from __future__ import annotations

import fcntl
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robust.errors import InputError

Array = npt.NDArray[np.float64]

LAYOUT = "2"

FILES = ("run.lock", "outcomes.sqlite", "outcomes.sqlite-wal", "outcomes.sqlite-shm")

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS clean (
    row INTEGER PRIMARY KEY, logits BLOB, pixels TEXT, broken TEXT);
CREATE TABLE IF NOT EXISTS outcomes (
    cell TEXT, row INTEGER, logits BLOB, linf REAL, l2 REAL, success INTEGER, saturated INTEGER,
    passes REAL, failure TEXT, PRIMARY KEY (cell, row)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS features (
    source TEXT, row INTEGER, vector BLOB, PRIMARY KEY (source, row));
CREATE TABLE IF NOT EXISTS chunks (
    cell TEXT, chunk INTEGER, seconds REAL, PRIMARY KEY (cell, chunk));
"""


@dataclass(frozen=True)
class CleanPrediction:
    """What the classifier says of one unattacked case."""

    row: int
    logits: Array | None
    """`(k,)`; None where the file was broken."""
    pixels: str = ""
    """SHA-256 of the displayed image."""
    broken: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What one attack did to one case, as the runner measured it."""

    row: int
    logits: Array
    linf: float
    l2: float
    success: bool
    saturated: bool
    passes: float
    failure: str | None = None
    """Why there is no verdict; such a case counts neither as robust nor as broken."""


@dataclass(frozen=True)
class Totals:
    """One cell, summed over its cases."""

    cases: int
    passes: float
    saturated: int


FeatureRow = tuple[str, int, npt.NDArray[np.float32]]
"""What detectors read of one image: where it comes from (a cell's key), its row, its features."""


class RunStore:
    """The database of one run directory. A chunk is there as a whole or not at all."""

    @classmethod
    def look(cls, directory: Path) -> RunStore:
        """The store of a run that may still be going on elsewhere, to read from alone."""
        store = cls.__new__(cls)
        store._lock = (directory / "run.lock").open("a")
        store._path = directory / "outcomes.sqlite"
        try:
            store._db = sqlite3.connect(f"{store._path.absolute().as_uri()}?mode=ro", uri=True)
            store._db.execute("SELECT 1 FROM meta, chunks LIMIT 1")
        except sqlite3.DatabaseError as error:
            raise InputError(f"{store._path} is broken ({error}); start in a new folder") from None
        return store

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = (directory / "run.lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"another process is at work in {directory}; wait for it") from None
        self._path = directory / "outcomes.sqlite"
        try:
            self._db = sqlite3.connect(self._path)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(_TABLES)
        except sqlite3.DatabaseError as error:
            raise InputError(f"{self._path} is broken ({error}); start in a new folder") from None

    def close(self) -> None:
        self._db.close()
        self._lock.close()

    def identify(self, identity: Mapping[str, str]) -> None:
        """Claim a new run directory, or check that an old one belongs to the same run."""
        for key, value in {"layout": LAYOUT, **identity}.items():
            known = self.get(key)
            if known is None:
                self.put(key, value)
            elif known != value:
                raise InputError(
                    f"{self._path.parent} belongs to another run: its {key} differs; "
                    f"choose another folder with --out, or delete this one"
                )

    def get(self, key: str) -> str | None:
        found = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if found is None else str(found[0])

    def put(self, key: str, value: str) -> None:
        with self._db:
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def done(self) -> set[tuple[str, int]]:
        """The finished (cell, chunk) pairs; clean predictions are the cell `clean`."""
        return set(self._db.execute("SELECT cell, chunk FROM chunks"))

    def seconds(self) -> dict[str, float]:
        """Time spent by cell."""
        return dict(self._db.execute("SELECT cell, sum(seconds) FROM chunks GROUP BY cell"))

    def add_clean(self, chunk: int, rows: Iterable[CleanPrediction], seconds: float) -> None:
        with self._db:
            self._db.executemany(
                "INSERT INTO clean VALUES (?, ?, ?, ?)",
                [(c.row, _pack(c.logits), c.pixels, c.broken) for c in rows],
            )
            self._db.execute("INSERT INTO chunks VALUES ('clean', ?, ?)", (chunk, seconds))

    def add_outcomes(
        self,
        cell: str,
        chunk: int,
        rows: Iterable[Outcome],
        seconds: float,
        seen: Iterable[FeatureRow] = (),
    ) -> None:
        with self._db:
            self._add(seen)
            self._db.executemany(
                "INSERT INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        *(cell, o.row, _pack(o.logits), o.linf, o.l2),
                        *(int(o.success), int(o.saturated), o.passes, o.failure),
                    )
                    for o in rows
                ],
            )
            self._db.execute("INSERT INTO chunks VALUES (?, ?, ?)", (cell, chunk, seconds))

    def add_features(
        self, source: str, chunk: int, seen: Iterable[FeatureRow], seconds: float
    ) -> None:
        """A chunk of images that only detectors look at."""
        with self._db:
            self._add(seen)
            self._db.execute("INSERT INTO chunks VALUES (?, ?, ?)", (source, chunk, seconds))

    def _add(self, seen: Iterable[FeatureRow]) -> None:
        self._db.executemany(
            "INSERT INTO features VALUES (?, ?, ?)",
            [(source, row, np.asarray(vector, "<f4").tobytes()) for source, row, vector in seen],
        )

    def features(self, source: str) -> tuple[list[int], npt.NDArray[np.float32]]:
        """Rows in order and their features `(n, m)`; `(0, 0)` where there are none."""
        found = self._db.execute(
            "SELECT row, vector FROM features WHERE source = ? ORDER BY row", (source,)
        ).fetchall()
        values = np.frombuffer(b"".join(vector for _, vector in found), "<f4").astype(np.float32)
        return [row for row, _ in found], values.reshape(len(found), -1 if found else 0)

    def count(self, source: str) -> int:
        """How many images of a source detectors have seen."""
        found = self._db.execute("SELECT count(*) FROM features WHERE source = ?", (source,))
        return int(found.fetchone()[0])

    def clean(self, first: int = 0, stop: int | None = None) -> Iterator[CleanPrediction]:
        """Clean predictions of rows first <= row < stop, in order."""
        rows = self._db.execute(
            "SELECT row, logits, pixels, broken FROM clean WHERE row >= ? AND row < ? ORDER BY row",
            (first, 2**62 if stop is None else stop),
        )
        for r in rows:
            yield CleanPrediction(r[0], _unpack(r[1]), r[2], r[3])

    def outcomes(self, cell: str, first: int = 0, stop: int | None = None) -> Iterator[Outcome]:
        """Outcomes of one cell for rows first <= row < stop, in order."""
        rows = self._db.execute(
            "SELECT row, logits, linf, l2, success, saturated, passes, failure FROM outcomes"
            " WHERE cell = ? AND row >= ? AND row < ? ORDER BY row",
            (cell, first, 2**62 if stop is None else stop),
        )
        for r in rows:
            yield Outcome(
                r[0], _filled(r[1]), _nan(r[2]), _nan(r[3]), bool(r[4]), bool(r[5]), *r[6:]
            )

    def totals(self, cell: str) -> Totals:
        """Sums over the outcomes of one cell."""
        found = self._db.execute(
            "SELECT count(*), total(passes), total(saturated) FROM outcomes WHERE cell = ?", (cell,)
        ).fetchone()
        return Totals(int(found[0]), float(found[1]), int(found[2]))

    def failures(self, cell: str) -> list[tuple[int, str]]:
        """Row and reason of every case of one cell without a verdict."""
        query = "SELECT row, failure FROM outcomes WHERE cell = ? AND failure IS NOT NULL"
        return list(self._db.execute(f"{query} ORDER BY row", (cell,)))

    def put_json(self, key: str, value: Any) -> None:
        self.put(key, json.dumps(value))

    def get_json(self, key: str) -> Any:
        text = self.get(key)
        return None if text is None else json.loads(text)


def _pack(logits: Array | None) -> bytes | None:
    return None if logits is None else np.asarray(logits, "<f8").tobytes()


def _unpack(blob: bytes | None) -> Array | None:
    return None if blob is None else np.frombuffer(blob, "<f8")


def _filled(blob: bytes) -> Array:
    return np.frombuffer(blob, "<f8")


def _nan(value: float | None) -> float:
    """SQLite keeps NaN as NULL."""
    return float("nan") if value is None else value
