"""Every result code of SQLite has its cause, and every cause its line with what to do."""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from robust.engine.database.errors import (
    Cause,
    DatabaseUnavailable,
    cause_of,
    cause_of_code,
    plain_errors,
    unavailable,
)
from robust.errors import InputError

CAUSES = {
    Cause.DAMAGE: """
        ERROR ERROR_MISSING_COLLSEQ ERROR_RESERVESIZE CORRUPT CORRUPT_INDEX CORRUPT_SEQUENCE CORRUPT_VTAB NOTADB
        FORMAT TOOBIG MISMATCH CONSTRAINT CONSTRAINT_CHECK CONSTRAINT_COMMITHOOK
        CONSTRAINT_FOREIGNKEY CONSTRAINT_FUNCTION CONSTRAINT_NOTNULL CONSTRAINT_PINNED
        CONSTRAINT_PRIMARYKEY CONSTRAINT_ROWID CONSTRAINT_TRIGGER CONSTRAINT_UNIQUE
        CONSTRAINT_VTAB CONSTRAINT_DATATYPE IOERR_SHORT_READ IOERR_DATA
        """,
    Cause.LOCKED: """
        BUSY BUSY_RECOVERY BUSY_SNAPSHOT BUSY_TIMEOUT LOCKED LOCKED_SHAREDCACHE LOCKED_VTAB SCHEMA
        """,
    Cause.SHARING: """
        PROTOCOL IOERR_LOCK IOERR_UNLOCK IOERR_RDLOCK IOERR_CHECKRESERVEDLOCK IOERR_BLOCKED
        IOERR_SHMOPEN IOERR_SHMLOCK IOERR_SHMMAP
        """,
    Cause.ACCESS: """
        PERM READONLY READONLY_CANTINIT READONLY_CANTLOCK READONLY_DIRECTORY READONLY_RECOVERY
        READONLY_ROLLBACK CANTOPEN CANTOPEN_CONVPATH CANTOPEN_DIRTYWAL CANTOPEN_FULLPATH
        CANTOPEN_ISDIR CANTOPEN_NOTEMPDIR CANTOPEN_SYMLINK IOERR_AUTH IOERR_CONVPATH
        IOERR_GETTEMPPATH
        """,
    Cause.MOVED: "READONLY_DBMOVED IOERR_VNODE",
    Cause.FULL: "FULL",
    Cause.DISK: """
        IOERR IOERR_ACCESS IOERR_BEGIN_ATOMIC IOERR_CLOSE IOERR_COMMIT_ATOMIC IOERR_CORRUPTFS
        IOERR_DELETE IOERR_DELETE_NOENT IOERR_DIR_CLOSE IOERR_DIR_FSYNC IOERR_FSTAT IOERR_FSYNC
        IOERR_MMAP IOERR_READ IOERR_ROLLBACK_ATOMIC IOERR_SEEK IOERR_SHMSIZE IOERR_TRUNCATE
        IOERR_WRITE IOERR_IN_PAGE IOERR_BADKEY IOERR_CODEC NOLFS
        """,
    Cause.MEMORY: "NOMEM IOERR_NOMEM",
    Cause.FAULT: """
        INTERNAL ABORT ABORT_ROLLBACK INTERRUPT NOTFOUND EMPTY MISUSE AUTH AUTH_USER RANGE
        ERROR_RETRY ERROR_SNAPSHOT ERROR_KEY ERROR_UNABLE NOTICE
        NOTICE_RECOVER_ROLLBACK NOTICE_RECOVER_WAL NOTICE_RBU WARNING WARNING_AUTOINDEX
        """,
}
"""All that sqlite3.h has but OK, ROW and DONE, which are no errors."""
NEWER = {
    "CONSTRAINT_DATATYPE": 19 | 12 << 8,
    "IOERR_IN_PAGE": 10 | 34 << 8,
    "IOERR_BADKEY": 10 | 35 << 8,
    "IOERR_CODEC": 10 | 36 << 8,
    "ERROR_RESERVESIZE": 1 | 4 << 8,
    "ERROR_KEY": 1 | 5 << 8,
    "ERROR_UNABLE": 1 | 6 << 8,
    "NOTICE_RBU": 27 | 3 << 8,
}
"""Codes that Python's module does not name."""
GOOD = {"OK", "OK_LOAD_PERMANENTLY", "OK_SYMLINK", "ROW", "DONE"}
SORTED = {name: cause for cause, names in CAUSES.items() for name in names.split()}


def code(name: str) -> int:
    return NEWER.get(name) or int(getattr(sqlite3, f"SQLITE_{name}"))


def made(name: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(f"said of {name}")
    error.sqlite_errorcode = code(name)
    return error


@pytest.mark.parametrize("name", SORTED)
def test_every_code_has_its_cause(name: str) -> None:
    assert cause_of_code(code(name)) is SORTED[name]
    assert cause_of(made(name)) is SORTED[name]


def test_no_code_is_forgotten() -> None:
    """An extended code of Python's module begins with the name of a primary one."""
    primary = {name for name in SORTED if code(name) < 256}
    names = {name.removeprefix("SQLITE_") for name in dir(sqlite3) if name.startswith("SQLITE_")}
    extended = {
        name
        for name in names
        if code(name) > 255 and any(name.startswith(f"{one}_") for one in primary)
    }
    assert extended - GOOD <= set(SORTED), "sort it: is it damage, the disk, a lock, a fault?"
    assert len(primary) == 28 and len({code(name) for name in SORTED}) == len(SORTED)


def test_errors_without_a_code() -> None:
    closed = sqlite3.connect("")
    closed.close()
    with pytest.raises(sqlite3.ProgrammingError) as caught:
        closed.execute("SELECT 1")
    assert cause_of(caught.value) is Cause.FAULT
    assert cause_of(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no text")) is Cause.DAMAGE


@pytest.mark.parametrize("name", [name for name in SORTED if SORTED[name] is not Cause.DAMAGE])
def test_what_is_no_damage_is_never_called_so(name: str, tmp_path: Path) -> None:
    path = tmp_path / "outcomes.sqlite"
    path.touch()
    line = unavailable(path, made(name))
    assert isinstance(line, DatabaseUnavailable)
    assert "damaged" not in str(line) and str(path) in str(line) and len(str(line)) < 400
    assert ("another process" in str(line)) == (SORTED[name] is Cause.LOCKED)
    assert list(tmp_path.iterdir()) == [path], "a probe leaves nothing behind"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("PROTOCOL", "does not give SQLite the locks"),
        ("IOERR_SHMMAP", "does not give SQLite the locks"),
        ("READONLY_DBMOVED", "was moved or deleted"),
        ("FULL", "the disk is full; make room"),
        ("IOERR_FSYNC", "the disk reports an error"),
        ("CANTOPEN", "said of CANTOPEN"),
        ("MISUSE", "SQLite says: said of MISUSE"),
        ("CORRUPT", "is damaged (said of CORRUPT); run the same command again"),
    ],
)
def test_the_line_names_the_cause(name: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "outcomes.sqlite"
    path.touch()
    assert said in str(unavailable(path, made(name)))


@pytest.mark.parametrize("name", ["IOERR_READ", "IOERR_FSTAT", "CANTOPEN"])
@pytest.mark.parametrize(
    ("number", "said"),
    [(errno.ESTALE, "stale handle"), (errno.ENOTCONN, "no longer connected")],
)
def test_a_network_disk_that_is_gone(
    name: str, number: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    path = tmp_path / "outcomes.sqlite"
    monkeypatch.setattr("shutil.disk_usage", gone)
    monkeypatch.setattr(Path, "stat", gone)
    with pytest.raises(DatabaseUnavailable, match=said), plain_errors(path):
        raise made(name)
    with pytest.raises(DatabaseUnavailable, match=said), plain_errors(path):
        gone()


def test_another_process_is_one(tmp_path: Path) -> None:
    path = tmp_path / "outcomes.sqlite"
    with closing(sqlite3.connect(path)) as first, closing(sqlite3.connect(path, 0)) as second:
        first.execute("BEGIN EXCLUSIVE")
        with pytest.raises(InputError, match="another process is using"), plain_errors(path):
            second.execute("BEGIN EXCLUSIVE")
