"""Errors of SQLite, sorted by cause: what the file holds, the disk, its locks, another process."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from enum import Enum, auto
from pathlib import Path

from robust.errors import InputError, first_line
from robust.files import cannot

DATABASE_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""What reading a database can raise: a message about a damaged schema may be no UTF-8."""

_NO_ROOM = 1 << 20
"""Fewer free bytes than this and SQLite's `disk I/O error` means a full disk."""


class DatabaseUnavailable(InputError):
    """The database cannot be read or written at this moment; what it holds is whole."""


class Cause(Enum):
    """Where an error of SQLite lies."""

    DAMAGE = auto()
    """In what the file holds; all else leaves a good run as it is."""
    LOCKED = auto()
    """Another process has it; SQLite says the same where the disk has no locks at all."""
    SHARING = auto()
    """The disk does not give the locks or the shared memory that SQLite asks for."""
    ACCESS = auto()
    """The file or its folder may not be opened or written; the system knows why."""
    MOVED = auto()
    """The file was moved, replaced or deleted while it was open."""
    FULL = auto()
    DISK = auto()
    MEMORY = auto()
    FAULT = auto()
    """In how SQLite is called, or in SQLite itself."""


_BY_CODE = {
    sqlite3.SQLITE_ERROR: Cause.DAMAGE,  # a table or a column is not there
    sqlite3.SQLITE_CORRUPT: Cause.DAMAGE,
    sqlite3.SQLITE_NOTADB: Cause.DAMAGE,
    sqlite3.SQLITE_FORMAT: Cause.DAMAGE,
    sqlite3.SQLITE_TOOBIG: Cause.DAMAGE,
    sqlite3.SQLITE_CONSTRAINT: Cause.DAMAGE,  # a key that stands there twice
    sqlite3.SQLITE_MISMATCH: Cause.DAMAGE,
    sqlite3.SQLITE_BUSY: Cause.LOCKED,
    sqlite3.SQLITE_LOCKED: Cause.LOCKED,
    sqlite3.SQLITE_SCHEMA: Cause.LOCKED,  # another process changes the tables
    sqlite3.SQLITE_PROTOCOL: Cause.SHARING,
    sqlite3.SQLITE_PERM: Cause.ACCESS,
    sqlite3.SQLITE_READONLY: Cause.ACCESS,
    sqlite3.SQLITE_CANTOPEN: Cause.ACCESS,
    sqlite3.SQLITE_FULL: Cause.FULL,
    sqlite3.SQLITE_IOERR: Cause.DISK,
    sqlite3.SQLITE_NOLFS: Cause.DISK,
    sqlite3.SQLITE_NOMEM: Cause.MEMORY,
}
"""By primary code; a code that is not here is a fault."""
_BY_EXTENDED_CODE = {
    sqlite3.SQLITE_ERROR_RETRY: Cause.FAULT,
    sqlite3.SQLITE_ERROR_SNAPSHOT: Cause.FAULT,
    1 | 5 << 8: Cause.FAULT,  # SQLITE_ERROR_KEY and _UNABLE, of encrypting extensions
    1 | 6 << 8: Cause.FAULT,
    sqlite3.SQLITE_READONLY_DBMOVED: Cause.MOVED,
    sqlite3.SQLITE_IOERR_VNODE: Cause.MOVED,
    sqlite3.SQLITE_IOERR_SHORT_READ: Cause.DAMAGE,  # the file was cut
    sqlite3.SQLITE_IOERR_DATA: Cause.DAMAGE,  # a checksum of a page
    sqlite3.SQLITE_IOERR_NOMEM: Cause.MEMORY,
    sqlite3.SQLITE_IOERR_AUTH: Cause.ACCESS,
    sqlite3.SQLITE_IOERR_CONVPATH: Cause.ACCESS,
    sqlite3.SQLITE_IOERR_GETTEMPPATH: Cause.ACCESS,
    **dict.fromkeys(
        (
            sqlite3.SQLITE_IOERR_LOCK,
            sqlite3.SQLITE_IOERR_UNLOCK,
            sqlite3.SQLITE_IOERR_RDLOCK,
            sqlite3.SQLITE_IOERR_CHECKRESERVEDLOCK,
            sqlite3.SQLITE_IOERR_BLOCKED,
            sqlite3.SQLITE_IOERR_SHMOPEN,
            sqlite3.SQLITE_IOERR_SHMLOCK,
            sqlite3.SQLITE_IOERR_SHMMAP,
        ),
        Cause.SHARING,
    ),
}
"""Extended codes whose cause is not that of their primary code."""


def cause_of_code(code: int) -> Cause:
    """The cause of a result code of SQLite, primary or extended."""
    return _BY_EXTENDED_CODE.get(code) or _BY_CODE.get(code & 0xFF, Cause.FAULT)


def cause_of(error: Exception) -> Cause:
    """The cause of one of `DATABASE_ERRORS`."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        return cause_of_code(code)
    # Those without a code come from Python's module: a closed connection, or text that is none.
    misused = isinstance(error, sqlite3.ProgrammingError | sqlite3.InterfaceError)
    return Cause.FAULT if misused else Cause.DAMAGE


def is_damage(error: Exception) -> bool:
    """Whether one of `DATABASE_ERRORS` lies in what the file holds, not in disk or machine."""
    return cause_of(error) is Cause.DAMAGE


@contextmanager
def suppress_damage() -> Iterator[None]:
    """Go on after an error that lies in what the file holds: it is repaired later."""
    try:
        yield
    except DATABASE_ERRORS as error:
        if not is_damage(error):
            raise


@contextmanager
def plain_errors(path: Path) -> Iterator[None]:
    """Turn the errors of SQLite and of the disk into an InputError with their cause."""
    try:
        yield
    except DATABASE_ERRORS as error:
        raise unavailable(path, error) from None
    except OSError as error:
        raise DatabaseUnavailable(cannot(error.filename or path, "be used", error)) from None


def unavailable(path: Path, error: Exception) -> InputError:
    """An error of SQLite as the line that names its cause and its remedy."""
    cause, said = cause_of(error), first_line(error)
    if cause is Cause.DAMAGE:
        return InputError(
            f"{path} is damaged ({said}); run the same command again, which keeps what is whole"
        )
    return DatabaseUnavailable(_line(path, cause, said))


def _line(path: Path, cause: Cause, said: str) -> str:
    known = {Cause.FULL: errno.ENOSPC, Cause.MEMORY: errno.ENOMEM}
    number = known.get(cause) or _refusal(path, cause)
    if number:
        return cannot(path, "be used", OSError(number, os.strerror(number)))
    if cause is Cause.LOCKED and has_locks(path.parent):
        return f"another process is using {path}; wait until it has finished"
    if cause in (Cause.LOCKED, Cause.SHARING):
        return (
            f"the disk of {path} does not give SQLite the locks that it needs ({said}); what is "
            f"finished is whole: run the same command again, or copy the folder to a local disk"
        )
    if cause is Cause.MOVED:
        return f"{path} was moved or deleted while it was in use; run the same command again"
    if cause is Cause.DISK:
        return cannot(path, "be used", OSError(errno.EIO, os.strerror(errno.EIO)))
    return f"{path} cannot be used: SQLite says: {said}; run the same command again"


def _refusal(path: Path, cause: Cause) -> int:
    """The error number with which the system itself refuses the file or its folder; 0: it works.

    SQLite does not say why it could not read, open or write.
    """
    try:
        if cause is Cause.DISK and shutil.disk_usage(path.parent).free < _NO_ROOM:
            return errno.ENOSPC
        path.exists()  # raises where a network disk has lost it
        if cause is Cause.ACCESS:
            os.close(os.open(path, os.O_RDWR))
            _make_a_file(path.parent)
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def _make_a_file(folder: Path) -> None:
    """Create a file and remove it, as SQLite does with its log; OSError says why it cannot."""
    handle, name = tempfile.mkstemp(dir=folder, prefix=".robust-")
    os.close(handle)
    os.unlink(name)


def has_locks(folder: Path) -> bool:
    """Whether SQLite can lock a file of that disk that nobody else knows."""
    try:
        with (
            tempfile.TemporaryDirectory(dir=folder, prefix=".robust-") as place,
            closing(sqlite3.connect(Path(place) / "probe", timeout=0)) as probe,
        ):
            probe.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        return cause_of(error) not in (Cause.LOCKED, Cause.SHARING)
    except OSError:
        return True
    return True
