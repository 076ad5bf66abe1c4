"""The file of a run's database: private, locked while one process writes, errors in plain words."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from robust.errors import InputError, first_line
from robust.files import PRIVATE_FILE, cannot, create_private, make_private_folder, open_regular

WriteLock = FileLock
"""Held by the one process that may write to a run directory."""

LOCK, DATABASE = "run.lock", "outcomes.sqlite"
DAMAGED = f"{DATABASE}.damaged"
"""A damaged database, as it was before its repair."""
FILES = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", LOCK)
"""Every file of a store in its run directory; the lock is the last to go."""

_NO_ROOM = 1 << 20
"""Fewer free bytes than this and SQLite's `disk I/O error` means a full disk."""
_SURROUNDINGS = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_IOERR: errno.EIO,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_AUTH: errno.EACCES,
    sqlite3.SQLITE_BUSY: errno.EBUSY,
    sqlite3.SQLITE_LOCKED: errno.EBUSY,
    sqlite3.SQLITE_PROTOCOL: errno.EBUSY,
    sqlite3.SQLITE_NOMEM: errno.ENOMEM,
    sqlite3.SQLITE_NOLFS: errno.EFBIG,
}
"""Errors of SQLite that lie in the disk or the machine, not in what the file holds."""


class DatabaseUnavailable(InputError):
    """The database cannot be read or written at this moment; what it holds is whole."""


class InUse(InputError):
    """Another process holds the lock of a run directory."""


DATABASE_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""What reading a database can raise: a message about a damaged schema may be no UTF-8."""


def is_damage(error: Exception) -> bool:
    """Whether one of `DATABASE_ERRORS` lies in what the file holds, not in disk or machine."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code == sqlite3.SQLITE_IOERR_SHORT_READ:
        return True
    return code & 0xFF not in _SURROUNDINGS


def unavailable(path: Path, error: Exception) -> InputError:
    """An error of SQLite as the line that names its cause and its remedy."""
    if is_damage(error):
        return InputError(
            f"{path} is damaged ({first_line(error)}); run the same command again, which keeps "
            f"what is whole"
        )
    number = _SURROUNDINGS[getattr(error, "sqlite_errorcode", 0) & 0xFF]
    try:
        if number == errno.EIO and shutil.disk_usage(path.parent).free < _NO_ROOM:
            number = errno.ENOSPC
        if number in (errno.EACCES, errno.EROFS):  # SQLite does not say why
            os.close(os.open(path, os.O_RDWR))
            _make_a_file(path.parent)
    except OSError as cause:
        return DatabaseUnavailable(cannot(path, "be used", cause))
    if number == errno.EBUSY:
        return DatabaseUnavailable(f"another process is using {path}; wait until it has finished")
    return DatabaseUnavailable(cannot(path, "be used", OSError(number, os.strerror(number))))


def _make_a_file(folder: Path) -> None:
    """Create a file and remove it, as SQLite does with its log; OSError says why it cannot."""
    handle, name = tempfile.mkstemp(dir=folder, prefix=".robust-")
    os.close(handle)
    os.unlink(name)


@contextmanager
def plain_errors(path: Path) -> Iterator[None]:
    """Turn the errors of SQLite and of the disk into an InputError with their cause."""
    try:
        yield
    except DATABASE_ERRORS as error:
        raise unavailable(path, error) from None
    except OSError as error:
        raise DatabaseUnavailable(cannot(error.filename or path, "be used", error)) from None


def lock(directory: Path) -> WriteLock:
    """Create the run directory and take its lock; InputError where another process has it.

    A lock that a dead process left behind is free.
    """
    path = directory / LOCK
    held = FileLock(path, mode=PRIVATE_FILE, thread_local=False)
    try:
        make_private_folder(directory)
        held.acquire(timeout=0)
    except Timeout:
        raise InUse(f"another process is using {directory}; wait until it has finished") from None
    except NotImplementedError:
        raise InputError(
            f"the disk of {directory} has no locks; name a folder on another disk"
        ) from None
    except OSError as error:
        raise DatabaseUnavailable(cannot(directory, "be written", error)) from None
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
        return _prepared(sqlite3.connect(path))


def connect_to_read(path: Path, scratch: Path) -> sqlite3.Connection:
    """A connection that writes nothing; by default SQLite would create or change files.

    `scratch` is an empty folder, for a copy where only that can be read.
    """
    with plain_errors(path):
        open_regular(path).close()
        log, index = (path.with_name(path.name + end) for end in ("-wal", "-shm"))
        if not log.exists() or not log.stat().st_size:  # nobody writes
            return _read_only(path, "immutable=1")
        open_regular(log).close()
        if index.exists():
            open_regular(index).close()
            return _read_only(path, "readonly_shm=1")
        # A copy of a run that was killed, taken without the index of its log.
        for one in (path, log):
            shutil.copyfile(one, scratch / one.name)
        return _read_only(scratch / path.name, "")


def _read_only(path: Path, options: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode=ro&{options}"
    # One transaction, so that all that is read is of one moment of a run that goes on.
    database = _prepared(sqlite3.connect(uri, uri=True, isolation_level=None))
    database.execute("BEGIN")
    return database


def _prepared(database: sqlite3.Connection) -> sqlite3.Connection:
    """The file may come from anybody: nothing in its schema is run, odd text is no error."""
    database.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
    database.execute("PRAGMA trusted_schema = OFF")
    database.execute("PRAGMA cell_size_check = ON")
    return database
