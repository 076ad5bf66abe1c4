"""The file of a run's database: private, locked while one process writes, its journal settled."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from robust.engine.database.errors import (
    DATABASE_ERRORS,
    Cause,
    DatabaseUnavailable,
    cause_of,
    is_damage,
    plain_errors,
    suppress_damage,
)
from robust.engine.database.log_repair import mend_log
from robust.errors import InputError
from robust.files import PRIVATE_FILE, cannot, create_private, make_private_folder, open_regular

WriteLock = FileLock
"""Held by the one process that may write to a run directory."""

LOCK, DATABASE = "run.lock", "outcomes.sqlite"
DAMAGED = f"{DATABASE}.damaged"
"""A damaged database, as it was before its repair."""
LOG, JOURNAL, INDEX = "-wal", "-journal", "-shm"
"""What follows the name of a database in those of its write-ahead log, its rollback journal and the
index of the log."""
FILES = (*(f"{DATABASE}{end}" for end in ("", LOG, JOURNAL, INDEX)), LOCK)
"""Every file of a store in its run directory; the lock is the last to go."""

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
"""What a disk answers that cannot lock a file."""
_PATIENCE = 30.0
"""Seconds that a connection waits for another one's lock."""


class InUse(InputError):
    """Another process holds the lock of a run directory."""


def lock(directory: Path) -> WriteLock:
    """Create the run directory and take its lock; InputError where another process has it.

    A lock that a dead process left behind is free.
    """
    # A lock that is a mere file, filelock's way out, would outlive a process that was killed.
    held = FileLock(directory / LOCK, mode=PRIVATE_FILE, thread_local=False, fallback_to_soft=False)
    try:
        make_private_folder(directory)
    except OSError as error:
        raise DatabaseUnavailable(cannot(directory, "be written", error)) from None
    try:
        held.acquire(timeout=0)
    except Timeout:
        raise InUse(f"another process is using {directory}; wait until it has finished") from None
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise DatabaseUnavailable(cannot(directory, "be written", error)) from None
        raise DatabaseUnavailable(
            f"the disk of {directory} has no locks, so two processes could write to one run; "
            f"name a folder on another disk"
        ) from None
    return held


def require_idle(directory: Path) -> None:
    """InUse where a process is writing to a run directory."""
    lock(directory).release()


def connect_to_write(path: Path) -> sqlite3.Connection:
    """A connection to a database that is created where there is none, readable by its owner."""
    with plain_errors(path):
        if path.exists():
            open_regular(path).close()
        else:
            # SQLite gives its log and its index the permissions of the database.
            create_private(path)
        database = _connect(path)
        try:
            _touch(database)
        except DATABASE_ERRORS as error:
            if is_damage(error):  # what is damaged is repaired once the key is known
                return database
            database.close()
            if cause_of(error) is Cause.LOCKED:
                raise
            merge_log(path)
            return _connect(path)
        return database


def settle_journal(
    database: sqlite3.Connection, path: Path, *, network: bool
) -> sqlite3.Connection:
    """Let each transaction outlive a kill: by a write-ahead log, else by a rollback journal.

    A log needs shared memory, which a `network` disk only seems to have. The connection may be a
    new one.
    """
    with plain_errors(path):
        try:
            if not network and _writes_a_log(database):
                return database
        except DATABASE_ERRORS as error:
            if is_damage(error):  # what is damaged is repaired once the key is known
                return database
        database.close()
        with suppress_damage():
            merge_log(path)
        database = _connect(path)
        with suppress_damage():
            database.execute("PRAGMA journal_mode = TRUNCATE").fetchone()
            database.execute("PRAGMA synchronous = FULL")
        return database


def _writes_a_log(database: sqlite3.Connection) -> bool:
    (answer,) = database.execute("PRAGMA journal_mode = WAL").fetchone()
    _touch(database)  # the answer comes before the log is opened
    if answer == "wal":
        database.execute("PRAGMA synchronous = NORMAL")
    return bool(answer == "wal")


def merge_log(path: Path) -> None:
    """Bring what stands in the log of a database into the database itself, without shared memory.

    A rollback journal that a kill left behind is played back.
    """
    with closing(_connect(path)) as database:
        database.execute("PRAGMA locking_mode = EXCLUSIVE").fetchone()
        database.execute("PRAGMA journal_mode = TRUNCATE").fetchone()
        _touch(database)


def keep_aside(database: Path, aside: Path) -> None:
    """Move log and journal of a damaged database beside the copy of it that is kept.

    SQLite would take them for those of the database that comes in its place.
    """
    for end in (LOG, JOURNAL):
        left = database.with_name(database.name + end)
        if left.exists() and left.stat().st_size:
            shutil.move(left, aside.with_name(aside.name + end))
        else:
            left.unlink(missing_ok=True)


def _touch(database: sqlite3.Connection) -> None:
    """Read something, so that the log is opened and a journal played back."""
    database.execute("SELECT count(*) FROM sqlite_master").fetchone()


def connect_to_read(path: Path, scratch: Path) -> sqlite3.Connection:
    """A connection that writes nothing; by default SQLite would create or change files.

    `scratch` is an empty folder, for a copy where only that can be read.
    """
    with plain_errors(path):
        open_regular(path).close()
        log, journal, index = (path.with_name(path.name + end) for end in (LOG, JOURNAL, INDEX))
        for one in (log, journal, index):
            if one.exists():
                open_regular(one).close()
        if journal.exists():  # who writes changes the database in place
            return _read_copy(path, (path, log, journal), scratch)
        if not log.exists() or not log.stat().st_size:  # nobody writes
            return _read_only(path, "immutable=1")
        if index.exists():
            with suppress(*DATABASE_ERRORS):  # on a disk without shared memory
                database = _read_only(path, "readonly_shm=1")
                _touch(database)
                return database
        # A copy of a run that was killed, taken without the index of its log.
        return _copied((path, log), scratch)


def _read_copy(path: Path, files: tuple[Path, ...], scratch: Path) -> sqlite3.Connection:
    """A connection to a copy; only while that is made has the one who writes to wait."""
    copy = scratch / path.name
    try:
        with closing(_read_only(path, "")) as source, closing(_connect(copy)) as target:
            _touch(source)  # which takes the lock: without it, backup would wait for ever
            source.backup(target)
    except DATABASE_ERRORS:  # a journal that a kill left behind, damage, a disk without locks
        copy.unlink(missing_ok=True)
        return _copied(files, scratch)
    return _read_only(copy, "immutable=1")


def _copied(files: tuple[Path, ...], scratch: Path) -> sqlite3.Connection:
    """A connection to copies of a database and of its journals, which are played back there."""
    for one in files:
        if one.exists():
            shutil.copyfile(one, scratch / one.name)
    mend_log(scratch / f"{files[0].name}{LOG}")
    return _in_one_transaction(_connect(scratch / files[0].name))


def _read_only(path: Path, options: str) -> sqlite3.Connection:
    return _in_one_transaction(_connect(path, f"mode=ro&{options}"))


def _in_one_transaction(database: sqlite3.Connection) -> sqlite3.Connection:
    """So that all that is read is of one moment of a run that goes on."""
    database.isolation_level = None
    database.execute("BEGIN")
    return database


def _connect(path: Path, options: str = "") -> sqlite3.Connection:
    """The file may come from anybody: nothing in its schema is run, odd text is no error."""
    name = f"{path.absolute().as_uri()}?{options}" if options else path
    database = sqlite3.connect(name, uri=bool(options), timeout=_PATIENCE)
    database.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
    database.execute("PRAGMA trusted_schema = OFF")
    database.execute("PRAGMA cell_size_check = ON")
    return database
