"""Locks and journals of a run's database where a disk lacks what SQLite asks for."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from robust.engine.database.connection import DATABASE, JOURNAL, LOCK, LOG
from robust.engine.database.errors import DatabaseUnavailable
from robust.engine.run_store import CleanPrediction, RunStore
from robust.errors import InputError
from tests.engine.database.stores import (
    CHUNKS,
    IDENTITY,
    content,
    fill,
    in_child,
    without_shared_memory,
)
from tests.faults.kernel import needs_filter, refuse


def journal_of(folder: Path) -> tuple[str, int]:
    """The mode of the journal of a store that is opened to write, and how it synchronises."""
    store = RunStore(folder)
    mode, level = (
        store._database.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous")
    )
    store.close()
    return mode, level


@pytest.mark.parametrize(
    "number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL]
)
def test_a_disk_without_locks_is_not_another_process(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(DatabaseUnavailable, match=r"has no locks.*name a folder on another disk"):
        RunStore(tmp_path / "run")
    assert not (tmp_path / "run" / DATABASE).exists()


@pytest.mark.parametrize(
    ("number", "said"),
    [(errno.ESTALE, "stale handle"), (errno.EIO, "disk reports an error"), (errno.EPERM, "denied")],
)
def test_a_lock_that_fails_for_another_reason(
    number: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(DatabaseUnavailable, match=said):
        RunStore(tmp_path)


@needs_filter
def test_record_locks_that_the_kernel_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """SQLite calls that `database is locked`, as if another process had it."""
    fill(tmp_path)
    before = (tmp_path / DATABASE).read_bytes()
    monkeypatch.setattr("robust.engine.database.connection._PATIENCE", 0.1)

    def act() -> None:
        refuse("record locks", errno.ENOLCK)
        RunStore(tmp_path)

    assert in_child(act) == 1
    line = capfd.readouterr().out
    assert "DatabaseUnavailable" in line and "does not give SQLite the locks" in line
    assert "another process" not in line and "damaged" not in line
    assert (tmp_path / DATABASE).read_bytes() == before


def test_a_log_where_the_disk_has_shared_memory(tmp_path: Path) -> None:
    assert journal_of(tmp_path) == ("wal", 1)


def test_a_rollback_journal_where_it_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_shared_memory(monkeypatch)
    assert journal_of(tmp_path) == ("truncate", 2)


def test_a_run_that_began_with_a_log_goes_on_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin() -> None:
        store = RunStore(tmp_path)
        store.identify(IDENTITY)
        store.add_clean(0, [CleanPrediction(0, np.zeros(2))], 0.1)
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(begin) == -signal.SIGKILL
    assert (tmp_path / f"{DATABASE}{LOG}").stat().st_size
    without_shared_memory(monkeypatch)
    assert journal_of(tmp_path) == ("truncate", 2)
    store = RunStore(tmp_path)
    store.identify(IDENTITY)
    assert store.damage is None and store.done() == {("clean", 0)}
    store.close()
    monkeypatch.undo()
    assert journal_of(tmp_path) == ("wal", 1), "and with a log again on another disk"


@needs_filter
def test_shared_memory_that_the_kernel_refuses(tmp_path: Path) -> None:
    fill(tmp_path / "whole")
    for name in ("old", "new"):
        folder = tmp_path / name
        if name == "old":
            shutil.copytree(tmp_path / "whole", folder)

        def act(folder: Path = folder) -> None:
            refuse("shared memory", errno.ENODEV)
            assert journal_of(folder) == ("truncate", 2)
            store = RunStore(folder)
            store.identify(IDENTITY)
            assert store.damage is None
            store.add_clean(99, [CleanPrediction(900, np.zeros(2))], 0.1)
            store.close()

        assert in_child(act) == 0
        store = RunStore(folder)
        store.identify(IDENTITY)
        assert store.damage is None and ("clean", 99) in store.done()
        store.close()


@pytest.mark.parametrize("more", [0, 3, 40])
def test_a_kill_with_a_rollback_journal(
    more: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed within a transaction, whose pages already stand in the database."""
    fill(tmp_path)
    before = RunStore.open_to_read(tmp_path)
    expected = content(before)
    before.close()
    without_shared_memory(monkeypatch)

    def act() -> None:
        store = RunStore(tmp_path)
        store.identify(IDENTITY)
        store.add_clean(9, [CleanPrediction(100, np.zeros(2))], 0.1)
        store._database.execute("PRAGMA cache_size = 1")  # pages are written at once
        store._database.execute("DELETE FROM outcomes WHERE row < ?", (more,))
        store._database.execute("UPDATE features SET vector = zeroblob(160)")
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(act) == -signal.SIGKILL
    journal = tmp_path / f"{DATABASE}{JOURNAL}"
    assert journal.stat().st_size and journal.read_bytes()[0], "it is hot"
    state = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    reader = RunStore.open_to_read(tmp_path)
    seen = content(reader)
    assert reader.damage is None and all(seen[key] == expected[key] for key in expected)
    reader.close()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == state
    store = RunStore(tmp_path)
    store.identify(IDENTITY)
    assert store.damage is None and store.done() == {*expected, ("clean", 9)}
    assert all(content(store)[key] == expected[key] for key in expected)
    store.close()


@needs_filter
def test_a_reader_while_a_run_writes_with_a_rollback_journal(tmp_path: Path) -> None:
    """The reader sees whole chunks, writes nothing, and does not stop the writer."""

    def write() -> None:
        refuse("shared memory", errno.ENODEV)
        store = RunStore(tmp_path)
        store.identify(IDENTITY)
        (tmp_path / "begun").touch()
        for number in range(400):
            rows = [CleanPrediction(8 * number + i, np.zeros(40)) for i in range(8)]
            store.add_clean(number, rows, 0.1)
            if (tmp_path / "enough").exists():
                break
        store.close()

    child = os.fork()
    if child == 0:
        os._exit(in_child(write))
    while not (tmp_path / "begun").exists():
        assert os.waitpid(child, os.WNOHANG) == (0, 0)
    seen = []
    for _ in range(12):
        reader = RunStore.open_to_read(tmp_path)
        assert reader.damage is None
        assert len(list(reader.clean())) == 8 * len(reader.done())
        seen.append(len(reader.done()))
        reader.close()
    (tmp_path / "enough").touch()
    assert os.waitpid(child, 0)[1] == 0
    assert seen == sorted(seen)
    store = RunStore(tmp_path)
    store.identify(IDENTITY)
    assert store.damage is None and len(store.done()) >= seen[-1]
    store.close()


def test_a_reader_needs_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_shared_memory(monkeypatch)
    fill(tmp_path)
    monkeypatch.undo()
    (tmp_path / f"{DATABASE}{JOURNAL}").touch()
    monkeypatch.setattr("robust.engine.database.connection._PATIENCE", 0.1)
    with closing(sqlite3.connect(tmp_path / DATABASE)) as other:
        other.execute("BEGIN EXCLUSIVE")  # as a disk without locks answers
        reader = RunStore.open_to_read(tmp_path)
        assert reader.damage is None and len(reader.done()) == 3 * CHUNKS
        reader.close()


def test_a_database_that_is_in_use_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path)
    monkeypatch.setattr("robust.engine.database.connection._PATIENCE", 0.1)
    with closing(sqlite3.connect(tmp_path / DATABASE)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(InputError, match="another process is using"):
            RunStore(tmp_path)
    RunStore(tmp_path).close()
    assert (tmp_path / LOCK).exists()
