"""The run store: all results of a run so far in one SQLite file, chunk by chunk, kill-safe."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from robust.engine.run_memory import Memo
from robust.errors import InputError
from robust.metrics.arrays import Array

T = TypeVar("T")

LAYOUT = "2"
"""Version of the tables: a store of another version is refused."""

LOCK, DATABASE = "run.lock", "outcomes.sqlite"
FILES = (LOCK, DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm")
"""Every file of a store in its run directory."""

_TABLES = f"""
BEGIN;
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS clean (
    row INTEGER PRIMARY KEY, logits BLOB, pixels TEXT, broken TEXT);
CREATE TABLE IF NOT EXISTS outcomes (
    cell TEXT, row INTEGER, logits BLOB, linf REAL, l2 REAL, success INTEGER, saturated INTEGER,
    passes REAL, failure TEXT, PRIMARY KEY (cell, row)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS features (
    source TEXT, row INTEGER, vector BLOB, PRIMARY KEY (source, row));
CREATE TABLE IF NOT EXISTS survival (
    cell TEXT, row INTEGER, computed INTEGER, quantised INTEGER, adversarially_rounded INTEGER,
    jpeg INTEGER, jpeg_clean INTEGER, eps_levels REAL, grey_levels INTEGER,
    PRIMARY KEY (cell, row)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS chunks (
    cell TEXT, chunk INTEGER, seconds REAL, PRIMARY KEY (cell, chunk));
INSERT OR IGNORE INTO meta VALUES ('layout', '{LAYOUT}');
COMMIT;
"""


@dataclass(frozen=True)
class CleanPrediction:
    """The classifier's output on one clean case."""

    row: int
    logits: Array | None
    """`(k,)`; None where the file was broken."""
    pixels: str = ""
    """SHA-256 of the displayed image."""
    broken: str | None = None


@dataclass(frozen=True)
class Outcome:
    """One adversarial image as the runner measured it; `success`: it reached the goal."""

    row: int
    logits: Array
    """`(k,)`, of the adversarial image."""
    linf: float
    l2: float
    success: bool
    saturated: bool
    passes: float
    failure: str | None = None
    """Why there is no verdict; such a case counts neither as robust nor as broken."""

    def distance(self, norm: str) -> float:
        """The distance to the clean image in `Linf` or `L2`."""
        return self.linf if norm == "Linf" else self.l2


@dataclass(frozen=True)
class Totals:
    """One cell, summed over its cases."""

    cases: int
    passes: float
    saturated: int


@dataclass(frozen=True)
class SurvivalOutcome:
    """Whether one adversarial image still reaches the goal when it is stored as a file."""

    row: int
    computed: bool
    """As the attack left it."""
    quantised: bool
    """Each pixel at the nearest level of the file within eps."""
    adversarially_rounded: bool
    """The same or, where that fails, at levels chosen by the attacker."""
    jpeg: bool | None
    """After JPEG; None where an image has neither 1 nor 3 channels."""
    jpeg_clean: bool | None
    """The clean image after JPEG."""
    eps_levels: float
    """eps in grey levels of the file."""
    grey_levels: int
    """How many grey levels the file has."""


FeatureRow = tuple[str, int, npt.NDArray[np.float32]]
"""The features of one image: its source (a cell's key), its row, a vector."""


@dataclass(frozen=True)
class Observations:
    """Features and survival of the adversarial images of a batch, stored beside their outcomes."""

    features: Sequence[FeatureRow] = ()
    survival: Sequence[SurvivalOutcome] = ()

    def __add__(self, other: Observations) -> Observations:
        return Observations([*self.features, *other.features], [*self.survival, *other.survival])


class RunStore:
    """The database of one run directory. A chunk is there as a whole or not at all."""

    def __init__(self, directory: Path, *, read_only: bool = False) -> None:
        """Open or create the store; while it is open, no other process can write to it.

        With `read_only` nothing is written, and the run may still be going on elsewhere.
        InputError where another process is at work, or for a broken or an older store.
        """
        self._path = directory / DATABASE
        self._scratch: Path | None = None
        self._lock: FileLock | None = None
        if not read_only:
            directory.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(directory / LOCK, thread_local=False)
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                raise InputError(
                    f"another process is using {directory}; wait until it has finished"
                ) from None
        try:
            self._db = self._connect_to_read() if read_only else sqlite3.connect(self._path)
            self._check_layout()
            if not read_only:
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = NORMAL")
                self._db.executescript(_TABLES)
        except sqlite3.DatabaseError as error:
            self._release()
            raise InputError(f"{self._path} is broken ({error}); start in a new folder") from None
        except InputError:
            self.close()
            raise

    @classmethod
    def open_to_read(cls, directory: Path) -> RunStore:
        """The store of a run that may still be going on elsewhere; nothing is written."""
        return cls(directory, read_only=True)

    def close(self) -> None:
        """Let others write to the run directory."""
        self._db.close()
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _connect_to_read(self) -> sqlite3.Connection:
        """A connection that writes nothing; by default SQLite would create or change files."""
        log, index = (self._path.with_name(self._path.name + end) for end in ("-wal", "-shm"))
        if not log.exists() or not log.stat().st_size:  # nobody writes
            return self._connect(self._path, "immutable=1")
        if index.exists():
            return self._connect(self._path, "readonly_shm=1")
        # A copy of a run that was killed, taken without the index of its log.
        self._scratch = Path(tempfile.mkdtemp(prefix="robust-"))
        for path in (self._path, log):
            shutil.copyfile(path, self._scratch / path.name)
        return self._connect(self._scratch / self._path.name, "")

    @staticmethod
    def _connect(path: Path, options: str) -> sqlite3.Connection:
        return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&{options}", uri=True)

    def _check_layout(self) -> None:
        tables = {name for (name,) in self._db.execute("SELECT name FROM sqlite_master")}
        if not tables and self._lock is None:
            raise InputError(f"the run in {self._path.parent} has not begun yet")
        known = self._get("layout") if "meta" in tables else None
        if tables and known != LAYOUT:
            raise InputError(
                f"the run in {self._path.parent} was made by another version of robust (its store "
                f"has layout {known}, this version needs {LAYOUT}); start in a new folder"
            )

    def identify(self, identity: Mapping[str, str]) -> None:
        """Claim a new run directory; InputError where it belongs to another run."""
        for name, value in identity.items():
            known = self.identity(name)
            if known is None:
                self._put(f"identity|{name}", value)
            elif known != value:
                raise InputError(
                    f"{self._path.parent} belongs to another run: its {name} differs; "
                    f"choose another folder with --out, or delete this one"
                )

    def identity(self, name: str) -> str | None:
        """One of the texts that this run was claimed with."""
        return self._get(f"identity|{name}")

    def get(self, memo: Memo[T]) -> T | None:
        """The remembered value, or None."""
        text = self._get(memo.key)
        return None if text is None else memo.from_json(text)

    def put(self, memo: Memo[T], value: T) -> None:
        """Remember a value."""
        self._put(memo.key, memo.to_json(value))

    def memo(self, memo: Memo[T], make: Callable[[], T]) -> T:
        """The remembered value; where there is none, it is made and remembered."""
        known = self.get(memo)
        if known is None:
            known = make()
            self.put(memo, known)
        return known

    def _get(self, key: str) -> str | None:
        found = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if found is None else str(found[0])

    def _put(self, key: str, value: str) -> None:
        with self._db:
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def done(self) -> set[tuple[str, int]]:
        """The finished (cell, chunk) pairs; clean predictions are the cell `clean`."""
        return set(self._db.execute("SELECT cell, chunk FROM chunks"))

    def seconds(self) -> dict[str, float]:
        """Time spent by cell."""
        return dict(self._db.execute("SELECT cell, sum(seconds) FROM chunks GROUP BY cell"))

    def add_clean(self, chunk: int, rows: Iterable[CleanPrediction], seconds: float) -> None:
        """A chunk of clean predictions."""
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
        observed: Observations = Observations(),
    ) -> None:
        """A chunk of one cell: its outcomes, and the features and survival of its images."""
        with self._db:
            self._add_features(observed.features)
            self._db.executemany(
                "INSERT INTO survival VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(cell, *astuple(outcome)) for outcome in observed.survival],
            )
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
        self, source: str, chunk: int, rows: Iterable[FeatureRow], seconds: float
    ) -> None:
        """A chunk of images that only detectors read: reference, clean, controls."""
        with self._db:
            self._add_features(rows)
            self._db.execute("INSERT INTO chunks VALUES (?, ?, ?)", (source, chunk, seconds))

    def _add_features(self, rows: Iterable[FeatureRow]) -> None:
        self._db.executemany(
            "INSERT INTO features VALUES (?, ?, ?)",
            [(source, row, np.asarray(vector, "<f4").tobytes()) for source, row, vector in rows],
        )

    def features(self, source: str) -> tuple[list[int], npt.NDArray[np.float32]]:
        """Rows in order and their features `(n, m)`; `(0, 0)` where there are none."""
        found = self._db.execute(
            "SELECT row, vector FROM features WHERE source = ? ORDER BY row", (source,)
        ).fetchall()
        values = np.frombuffer(b"".join(vector for _, vector in found), "<f4").astype(np.float32)
        return [row for row, _ in found], values.reshape(len(found), -1 if found else 0)

    def count(self, source: str) -> int:
        """How many images of a source have features."""
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

    def survival(self, cell: str) -> list[SurvivalOutcome]:
        """Survival of the images of one cell as files, by row."""
        rows = self._db.execute(
            "SELECT row, computed, quantised, adversarially_rounded, jpeg, jpeg_clean, eps_levels,"
            " grey_levels FROM survival WHERE cell = ? ORDER BY row",
            (cell,),
        )
        return [
            SurvivalOutcome(
                r[0], bool(r[1]), bool(r[2]), bool(r[3]), _flag(r[4]), _flag(r[5]), *r[6:]
            )
            for r in rows
        ]


def _pack(logits: Array | None) -> bytes | None:
    return None if logits is None else np.asarray(logits, "<f8").tobytes()


def _unpack(blob: bytes | None) -> Array | None:
    return None if blob is None else np.frombuffer(blob, "<f8")


def _filled(blob: bytes) -> Array:
    return np.frombuffer(blob, "<f8")


def _flag(value: int | None) -> bool | None:
    return None if value is None else bool(value)


def _nan(value: float | None) -> float:
    """SQLite keeps NaN as NULL."""
    return float("nan") if value is None else value
