"""The run store: all results of a run so far in one SQLite file, chunk by chunk, kill-safe."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from robust.engine.database.connection import (
    DAMAGED,
    DATABASE,
    FILES,
    INDEX,
    JOURNAL,
    LOCK,
    LOG,
    WriteLock,
    connect_to_read,
    connect_to_write,
    keep_aside,
    lock,
    merge_log,
    settle_journal,
)
from robust.engine.database.errors import plain_errors, suppress_damage
from robust.engine.database.joining import (
    chunk_sums,
    content_sums,
    copy_database,
    join,
)
from robust.engine.database.log_repair import mend_log
from robust.engine.database.network_disk import network_disk
from robust.engine.database.repair import (
    IDENTITY,
    Damage,
    Survey,
    create_tables,
    has_header,
    identity_of,
    is_foreign,
    key_of,
    layout_of,
    put_memo,
    salvage,
    salvage_without_header,
    survey,
)
from robust.engine.database.tables import (
    CHUNKS_WIDTH,
    LAYOUT,
    TABLES,
    ChunkChecksum,
    Row,
    checksum_key,
    insert,
    memo_checksum,
    part_of,
)
from robust.engine.database.working_copy import WorkingCopy
from robust.engine.run_memory import Memo
from robust.errors import InputError
from robust.files import replacing
from robust.metrics.arrays import Array
from robust.printable import one_line
from robust.units import distance_field

T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CleanPrediction:
    """The classifier's output on one clean case."""

    row: int
    kept: Array | None
    """What the task keeps of it `(a,)`, of a classifier the logits; None where the file was
    broken."""
    pixels: str = ""
    """SHA-256 of the displayed image."""
    broken: str | None = None


@dataclass(frozen=True)
class Outcome:
    """One adversarial image as the runner measured it; `success`: it reached the goal."""

    row: int
    kept: Array
    """What the task keeps `(a,)` of the prediction for the adversarial image."""
    linf: float
    l2: float
    l2_slice: float
    """The largest L2 distance within one slice of a volume; of an image its L2 distance."""
    l1: float
    """The sum of absolute changes."""
    l0: float
    """Number of changed pixels."""
    success: bool
    saturated: bool
    passes: float
    failure: str | None = None
    """Why there is no verdict; such a case counts neither as robust nor as broken."""

    def distance(self, norm: str) -> float:
        """The distance to the clean image in one of `NORMS`."""
        known: float = getattr(self, distance_field(norm))
        return known


@dataclass(frozen=True)
class KnownCase:
    """A case as a run read it: all that a report needs of it, and what tells a changed file."""

    row: int
    id: str
    label: int
    group: str
    pixel_values: int
    """Number of values of its image (c * h * w); 0 where that could not be read."""
    grey_in_colour: bool
    """Whether its image has three equal channels."""
    brightest: float
    """Its highest value in [0, 1], as displayed; 0 where it could not be read."""
    metadata: Mapping[str, str]
    content: str
    """As `Cases.content`; empty where the file could not be read."""


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


@dataclass(frozen=True)
class ChunkRows:
    """All that one chunk of a cell has in a store, to hand it to another store of the run."""

    cell: str
    chunk: int
    seconds: float
    rows: Mapping[str, Sequence[Row]]
    """By table: the values of each row, in the order of its keys and columns."""

    def outcomes(self) -> list[Outcome]:
        """Its outcomes, in order."""
        rows = self.rows.get("outcomes", ())
        return [
            Outcome(
                row, _filled(kept), a, b, c, d, e, bool(success), bool(saturated), passes, failure
            )
            for _, row, a, b, c, d, e, success, saturated, passes, failure, kept in rows
        ]

    def clean(self) -> list[CleanPrediction]:
        """Its clean predictions, in order."""
        rows = self.rows.get("clean", ())
        return [CleanPrediction(row, _unpack(v), p, broken) for row, p, broken, v in rows]


class OtherRun(InputError):
    """A run directory was claimed by another run."""

    def __init__(self, folder: Path, part: str) -> None:
        super().__init__(
            f"{folder} belongs to another run: its {part} differs; "
            f"choose another folder with --out, or delete this one"
        )
        self.part = part
        """What differs, such as `model`."""


class RunStore:
    """The database of one run directory. A chunk is there as a whole or not at all.

    Every chunk and every memo has a checksum, keyed with the identity of the run.
    """

    def __init__(
        self, directory: Path, *, read_only: bool = False, begin_with: Path | None = None
    ) -> None:
        """Open or create the store; while it is open, no other process can write to it.

        A new one begins with what the snapshot `begin_with` holds.
        With `read_only` nothing is written, and the run may still be going on elsewhere; it shows
        what verifies. A store to write to is verified when it is claimed: `identify`. InputError
        where another process is at work, for the store of another version, and where the disk
        refuses.
        """
        self._home = directory / DATABASE
        self._path = self._home
        self._copy: WorkingCopy | None = None
        self._network = False
        """Whether the database that is written to lies on a network disk."""
        self._scratch: Path | None = None
        self._lock: WriteLock | None = None
        self._db: sqlite3.Connection | None = None
        self._key = checksum_key({})
        self._claim: Mapping[str, str] | None = None
        self.damage: Damage | None = None
        """What did not verify when the store was opened or claimed; None: all of it did."""
        self.taken: list[ChunkRows] | None = None
        """Where this is a list, every chunk that is stored is added to it as well."""
        new = not read_only and not self._home.exists()
        try:
            self._open_to_read() if read_only else self._open_to_write(begin_with)
        except BaseException:
            if new and self._lock is not None:
                self.remove()
            else:
                self._let_go()
            raise

    @classmethod
    def open_to_read(cls, directory: Path) -> RunStore:
        """The store of a run that may still be going on elsewhere; nothing is written."""
        return cls(directory, read_only=True)

    def close(self) -> None:
        """Let others write to the run directory.

        InputError where a network disk does not take what is finished; it says where that is.
        """
        try:
            if self._copy is not None:
                self._copy.put_back(last=True)
        finally:
            self._let_go()

    def remove(self) -> None:
        """Close the store and delete its files, while no other process can have taken them."""
        self._disconnect()
        for name in FILES:
            with contextlib.suppress(OSError):
                (self._home.parent / name).unlink(missing_ok=True)
        self._let_go()
        with contextlib.suppress(OSError):  # Windows deletes no file that is open
            if os.name == "nt":
                (self._home.parent / LOCK).unlink(missing_ok=True)

    def _let_go(self) -> None:
        self._disconnect()
        if self._copy is not None:
            self._copy.discard()
        if self._lock is not None:
            with contextlib.suppress(OSError):  # of a disk that is gone: so is the lock
                self._lock.release()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _disconnect(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def _open_to_write(self, begin_with: Path | None) -> None:
        self._lock = lock(self._home.parent)
        with plain_errors(self._home):
            for left in self._home.parent.glob(f".{DATABASE}.*.partial*"):
                left.unlink(missing_ok=True)  # by a process that was killed
            mend_log(self._home.with_name(DATABASE + LOG))
        self._choose_disk()
        with plain_errors(self._path):
            if begin_with is not None and not self._home.exists():
                with replacing(self._path) as partial:
                    shutil.copyfile(begin_with, partial)
            self._db = connect_to_write(self._path)
            if self._check_layout() == "":
                with self._db:
                    create_tables(self._db)
            self._settle_journal()

    def _choose_disk(self) -> None:
        """Work beside the run directory where that is on a network disk, and say so."""
        folder = self._home.parent
        kind = network_disk(folder)
        if not kind:
            return
        with plain_errors(self._home):  # where no folder for temporary files can be written
            temporary = Path(tempfile.gettempdir())
        begin = f"{folder} is on a network disk ({kind})"
        self._network = bool(network_disk(temporary))
        if self._network:
            line = (
                f"{begin}, and {temporary} is too: writing is slow; set TMPDIR to a folder on a "
                f"local disk"
            )
            if self._home.exists():
                with plain_errors(self._home), suppress_damage():
                    merge_log(self._home)
        else:
            self._copy = WorkingCopy(self._home)
            self._path = self._copy.path
            line = (
                f"{begin}: the run works in {self._copy.folder}, and what is finished is copied "
                f"every few seconds; what a crash of this machine cuts off runs again"
            )
        _log.warning("robust: %s", line)

    def _open_to_read(self) -> None:
        with plain_errors(self._path):
            self._scratch = Path(tempfile.mkdtemp(prefix="robust-"))
            self._db = connect_to_read(self._path, self._scratch)
            if self._check_layout() == "":
                raise InputError(f"the run in {self._home.parent} has not begun yet")
            self._key = key_of(self._db)
            found = survey(self._db, self._key)
            self.damage = found.damage
            if self.damage is not None:
                whole = sqlite3.connect("")  # in memory, or in a file that has no name
                salvage(self._db, found, whole)
                for name in found.memos:
                    if name.startswith(IDENTITY):
                        put_memo(whole, b"", *found.memos[name][:2])
                self._disconnect()
                self._db = whole

    def _check_layout(self) -> str | None:
        layout = layout_of(self._database)
        if layout not in (None, "", LAYOUT):
            raise InputError(
                f"the run in {self._home.parent} was made by another version of robust (its store "
                f"has layout {one_line(str(layout))[:20]}, this version needs {LAYOUT}); start in "
                f"a new folder"
            )
        if layout is None and is_foreign(self._database):
            raise InputError(f"{self._home} is the database of another program; name a new folder")
        return layout

    def _settle_journal(self) -> None:
        self._db = settle_journal(self._database, self._path, network=self._network)

    def _written(self) -> None:
        if self._copy is not None:
            self._copy.written()

    @property
    def _database(self) -> sqlite3.Connection:
        assert self._db is not None, "the store is closed"
        return self._db

    def identify(self, identity: Mapping[str, str]) -> None:
        """Claim a run directory and verify all that it holds, with the identity as the key.

        What does not verify is left out, so that it runs again: `damage` says what. InputError
        where the directory belongs to another run. Claimed again in the same way, nothing is done.
        """
        if self._claim == identity:
            return
        if name := self.other_than(identity):
            raise OtherRun(self._home.parent, name)
        changed = False
        with plain_errors(self._path):
            known = identity_of(self._database)
            self._key = checksum_key(identity)
            found = survey(self._database, self._key)
            self.damage = found.damage
            if self.damage is not None:
                self._repair(found)
                self.damage = found.damage
            if known != identity or self.damage is not None:
                with self._database as database:
                    put_memo(database, b"", "key", self._key.hex())
                    for name, value in identity.items():
                        put_memo(database, b"", f"{IDENTITY}{name}", value)
                changed = True
        if changed:
            self._written()
        self._claim = dict(identity)

    def other_than(self, identity: Mapping[str, str]) -> str:
        """What tells the run of this store from another one, such as `model`; empty: nothing."""
        with plain_errors(self._path):
            known = identity_of(self._database)
        return next(
            (name for name in identity if known.get(name, identity[name]) != identity[name]), ""
        )

    def snapshot(self, path: Path, without: Iterable[str] = ()) -> None:
        """Write what the store holds, without some cells, to a file to begin another one with."""
        with plain_errors(self._path), replacing(path) as partial:
            copy_database(self._database, partial)
            if without:
                self._leave_out(partial, without)

    def _leave_out(self, path: Path, cells: Iterable[str]) -> None:
        database = sqlite3.connect(path)
        try:
            with database:
                mine = [(cell,) for cell in cells]
                database.executemany("DELETE FROM chunks WHERE cell = ?", mine)
                for table in TABLES:
                    left = "part NOT IN (SELECT part FROM chunks)"
                    database.execute(f"DELETE FROM {table.name} WHERE {left}")
        finally:
            database.close()

    def absorb(self, others: Sequence[RunStore], memos: Mapping[str, str]) -> None:
        """Take in, all or nothing, every chunk of others that this one lacks, and set memos.

        All have been claimed with the same identity, so that every checksum still holds.
        """
        with plain_errors(self._path), replacing(self._path) as partial:
            copy_database(self._database, partial)
            join(partial, [other._path for other in others], self._key, memos)
            self._disconnect()
            for end in (LOG, JOURNAL, INDEX):
                self._path.with_name(DATABASE + end).unlink(missing_ok=True)
        self._db = connect_to_write(self._path)
        self._settle_journal()
        self._written()

    def chunk_sums(self) -> dict[tuple[str, int], tuple[int, bytes]]:
        """By cell and number: the part and the checksum of every finished chunk."""
        with plain_errors(self._path):
            return chunk_sums(self._database)

    def content_sums(self, parts: Collection[int]) -> dict[int, bytes]:
        """Digests of what these parts hold, whatever time they took."""
        with plain_errors(self._path):
            return content_sums(self._database, parts)

    def memos(self) -> dict[str, str]:
        """By key the text of everything that is remembered."""
        rows = self._select("SELECT key, value, checksum FROM meta")
        return {r[0]: r[1] for r in rows if memo_checksum(self._key, r[0], r[1]) == r[2]}

    def _repair(self, found: Survey) -> None:
        """Put a database with all that verifies in the place of the damaged one, which is kept."""
        aside = self._home.with_name(DAMAGED)
        with replacing(self._path) as partial:
            whole = connect_to_write(partial)
            try:
                if has_header(self._path, self._database):
                    salvage(self._database, found, whole)
                else:
                    salvage_without_header(self._path, whole, found, self._key)
            finally:
                whole.close()
            self._disconnect()
            for end in (LOG, JOURNAL):  # of an earlier repair
                aside.with_name(aside.name + end).unlink(missing_ok=True)
            with replacing(aside) as copy:
                shutil.copyfile(self._path, copy)
            keep_aside(self._path, aside)
            self._path.with_name(DATABASE + INDEX).unlink(missing_ok=True)
        self._db = connect_to_write(self._path)
        self._settle_journal()

    def identity(self, name: str) -> str | None:
        """One of the texts that this run was claimed with."""
        return self._memo(b"", f"{IDENTITY}{name}")

    def get(self, memo: Memo[T]) -> T | None:
        """The remembered value, or None."""
        text = self._memo(self._key, memo.key)
        return None if text is None else memo.from_json(text)

    def put(self, memo: Memo[T], value: T) -> None:
        """Remember a value."""
        with plain_errors(self._path), self._database as database:
            put_memo(database, self._key, memo.key, memo.to_json(value))
        self._written()

    def memo(self, memo: Memo[T], make: Callable[[], T]) -> T:
        """The remembered value; where there is none, it is made and remembered."""
        known = self.get(memo)
        if known is None:
            known = make()
            self.put(memo, known)
        return known

    def _memo(self, key: bytes, name: str) -> str | None:
        for row in self._select("SELECT value, checksum FROM meta WHERE key = ?", name):
            if isinstance(row[0], str) and memo_checksum(key, name, row[0]) == row[1]:
                return row[0]
        return None

    def _select(self, query: str, *values: object) -> Iterator[Row]:
        with plain_errors(self._path):
            found = self._database.execute(query, values)
        while True:
            with plain_errors(self._path):
                row = found.fetchone()
            if row is None:
                return
            yield row

    def done(self) -> set[tuple[str, int]]:
        """The finished (cell, chunk) pairs; clean predictions are the cell `clean`."""
        return {(row[0], row[1]) for row in self._select("SELECT cell, chunk FROM chunks")}

    def seconds(self) -> dict[str, float]:
        """Time spent by cell."""
        rows = self._select("SELECT cell, sum(seconds) FROM chunks GROUP BY cell")
        return {row[0]: row[1] for row in rows}

    def add_clean(
        self,
        chunk: int,
        rows: Iterable[CleanPrediction],
        seconds: float,
        cases: Sequence[KnownCase] = (),
        fingerprints: Mapping[int, bytes] | None = None,
    ) -> None:
        """A chunk of clean predictions, with the cases that they are of.

        `fingerprints` are those of the images that could be read, by row.
        """
        found = [(c.row, c.pixels, c.broken, _pack(c.kept)) for c in rows]
        index = [
            (
                *(c.row, c.id, c.label, c.group, c.pixel_values, c.grey_in_colour, c.brightest),
                json.dumps(dict(c.metadata)),
            )
            for c in cases
        ]
        new: dict[str, Sequence[Row]] = {
            "clean": found,
            "cases": index,
            "contents": [("clean", c.row, c.content) for c in cases],
            "fingerprints": _by_source("clean", fingerprints),
        }
        self._add("clean", chunk, seconds, new)

    def add_outcomes(
        self,
        cell: str,
        chunk: int,
        rows: Iterable[Outcome],
        seconds: float,
        observed: Observations = Observations(),
    ) -> None:
        """A chunk of one cell: its outcomes, and the features and survival of its images."""
        found = [
            (
                *(
                    cell,
                    o.row,
                    o.linf,
                    o.l2,
                    o.l2_slice,
                    o.l1,
                    o.l0,
                    o.success,
                    o.saturated,
                    o.passes,
                    o.failure,
                ),
                _pack(o.kept),
            )
            for o in rows
        ]
        survival = [(cell, *astuple(outcome)) for outcome in observed.survival]
        features = _packed(observed.features)
        new = {"outcomes": found, "features": features, "survival": survival}
        self._add(cell, chunk, seconds, new)

    def add_features(
        self,
        source: str,
        chunk: int,
        rows: Iterable[FeatureRow],
        seconds: float,
        contents: Mapping[int, str] | None = None,
        fingerprints: Mapping[int, bytes] | None = None,
    ) -> None:
        """A chunk of images that only detectors read: reference, clean, controls.

        `contents` are the digests of the files that were read for it, `fingerprints` those of its
        images, by row.
        """
        new = {
            "features": _packed(rows),
            "contents": _by_source(source, contents),
            "fingerprints": _by_source(source, fingerprints),
        }
        self._add(source, chunk, seconds, new)

    def add_rows(self, chunk: ChunkRows) -> None:
        """A chunk as another store of the run had it."""
        self._add(chunk.cell, chunk.chunk, chunk.seconds, chunk.rows)

    def forget(self, chunks: Iterable[ChunkRows]) -> None:
        """Remove chunks that another store has taken over."""
        with plain_errors(self._path), self._database as database:
            for chunk in chunks:
                for table in TABLES:
                    keys = (row[: len(table.keys)] for row in chunk.rows.get(table.name, ()))
                    database.executemany(table.delete(), keys)
                found = (chunk.cell, chunk.chunk)
                database.execute("DELETE FROM chunks WHERE cell = ? AND chunk = ?", found)
        self._written()

    def _add(
        self, cell: str, chunk: int, seconds: float, values: Mapping[str, Sequence[Row]]
    ) -> None:
        """Store a chunk with its checksum: the values of its rows by table, in one transaction."""
        with plain_errors(self._path), self._database as database:
            part, total = part_of(cell, chunk), ChunkChecksum(self._key)
            for table in TABLES:
                rows = table.ordered(table.row(part, one) for one in values.get(table.name, ()))
                for row in rows:
                    total.add(table.name, row)
                database.executemany(table.insert(), rows)
            seconds = float(seconds)
            checksum = total.finish(cell, chunk, part, seconds)
            found = (cell, chunk, part, seconds, total.rows, checksum)
            database.execute(insert("chunks", CHUNKS_WIDTH), found)
        self._written()
        if self.taken is not None:
            self.taken.append(ChunkRows(cell, chunk, seconds, values))

    def known_cases(self) -> Iterator[KnownCase]:
        """The cases of all finished clean chunks, in order."""
        rows = self._select(
            "SELECT cases.row, id, label, owner, pixel_values, grey, brightest, metadata, digest"
            " FROM cases"
            " JOIN contents ON contents.source = 'clean' AND contents.row = cases.row"
            " ORDER BY cases.row"
        )
        for r in rows:
            grey, metadata = bool(r[5]), json.loads(r[7])
            yield KnownCase(r[0], r[1], r[2], r[3], r[4], grey, r[6], metadata, r[8])

    def contents(self, source: str) -> dict[int, str]:
        """By row: the digest of the file read for a source; `clean` are the audited cases."""
        rows = self._select("SELECT row, digest FROM contents WHERE source = ?", source)
        return {row[0]: row[1] for row in rows}

    def fingerprints(self, source: str) -> dict[int, bytes]:
        """By row: the fingerprint of each image of a source; `clean` are the audited cases."""
        query = "SELECT row, thumbnail FROM fingerprints WHERE source = ? ORDER BY row"
        return {row[0]: row[1] for row in self._select(query, source)}

    def features(self, source: str) -> tuple[list[int], npt.NDArray[np.float32]]:
        """Rows in order and their features `(n, m)`; `(0, 0)` where there are none."""
        query = "SELECT row, vector FROM features WHERE source = ? ORDER BY row"
        found = list(self._select(query, source))
        values = np.frombuffer(b"".join(vector for _, vector in found), "<f4").astype(np.float32)
        return [row for row, _ in found], values.reshape(len(found), -1 if found else 0)

    def count(self, source: str) -> int:
        """How many images of a source have features."""
        (found,) = self._select("SELECT count(*) FROM features WHERE source = ?", source)
        return int(found[0])

    def clean(self, first: int = 0, stop: int | None = None) -> Iterator[CleanPrediction]:
        """Clean predictions of rows first <= row < stop, in order."""
        query = (
            "SELECT row, kept, pixels, broken FROM clean WHERE row >= ? AND row < ? ORDER BY row"
        )
        for r in self._select(query, first, 2**62 if stop is None else stop):
            yield CleanPrediction(r[0], _unpack(r[1]), r[2], r[3])

    def outcomes(self, cell: str, first: int = 0, stop: int | None = None) -> Iterator[Outcome]:
        """Outcomes of one cell for rows first <= row < stop, in order."""
        query = (
            "SELECT row, kept, linf, l2, l2_slice, l1, l0, success, saturated, passes, failure"
            " FROM outcomes WHERE cell = ? AND row >= ? AND row < ? ORDER BY row"
        )
        for r in self._select(query, cell, first, 2**62 if stop is None else stop):
            yield Outcome(
                r[0],
                _filled(r[1]),
                _nan(r[2]),
                _nan(r[3]),
                _nan(r[4]),
                _nan(r[5]),
                _nan(r[6]),
                bool(r[7]),
                bool(r[8]),
                *r[9:],
            )

    def totals(self, cell: str) -> Totals:
        """Sums over the outcomes of one cell."""
        query = "SELECT count(*), total(passes), total(saturated) FROM outcomes WHERE cell = ?"
        (found,) = self._select(query, cell)
        return Totals(int(found[0]), float(found[1]), int(found[2]))

    def failures(self, cell: str) -> list[tuple[int, str]]:
        """Row and reason of every case of one cell without a verdict."""
        query = "SELECT row, failure FROM outcomes WHERE cell = ? AND failure IS NOT NULL"
        return [(row[0], row[1]) for row in self._select(f"{query} ORDER BY row", cell)]

    def survival(self, cell: str) -> list[SurvivalOutcome]:
        """Survival of the images of one cell as files, by row."""
        rows = self._select(
            "SELECT row, computed, quantised, adversarially_rounded, jpeg, jpeg_clean, eps_levels,"
            " grey_levels FROM survival WHERE cell = ? ORDER BY row",
            cell,
        )
        return [
            SurvivalOutcome(
                r[0], bool(r[1]), bool(r[2]), bool(r[3]), _flag(r[4]), _flag(r[5]), *r[6:]
            )
            for r in rows
        ]


def _packed(rows: Iterable[FeatureRow]) -> list[Row]:
    return [(source, row, np.asarray(vector, "<f4").tobytes()) for source, row, vector in rows]


def _by_source(source: str, values: Mapping[int, object] | None) -> list[Row]:
    return [(source, row, value) for row, value in (values or {}).items()]


def _pack(kept: Array | None) -> bytes | None:
    return None if kept is None else np.asarray(kept, "<f8").tobytes()


def _unpack(blob: bytes | None) -> Array | None:
    return None if blob is None else np.frombuffer(blob, "<f8")


def _filled(blob: bytes) -> Array:
    return np.frombuffer(blob, "<f8")


def _flag(value: int | None) -> bool | None:
    return None if value is None else bool(value)


def _nan(value: float | None) -> float:
    """SQLite keeps NaN as NULL."""
    return float("nan") if value is None else value
