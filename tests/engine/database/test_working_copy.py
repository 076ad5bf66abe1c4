"""A run on a network disk: it works on a local database, and the disk only ever has a whole one."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import signal
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from robust.engine.database import working_copy
from robust.engine.database.connection import DAMAGED, DATABASE, JOURNAL, LOCK, LOG
from robust.engine.database.errors import DatabaseUnavailable
from robust.engine.database.working_copy import WorkingCopy
from robust.engine.run_store import CleanPrediction, RunStore
from robust.errors import InputError
from tests.engine.database.stores import CHUNKS, IDENTITY, content, fill, in_child, statement
from tests.faults.disks import disk, needs_disk


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, on the one local disk; all else is on the network."""
    folder = tmp_path / "local"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(
        "robust.engine.run_store.network_disk", lambda path: "" if path == folder else "nfs4"
    )
    return folder


@pytest.fixture
def run(tmp_path: Path, local: Path) -> Path:
    return tmp_path / "run"


class Clock:
    """Seconds that go by as told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(
        "robust.engine.run_store.WorkingCopy", lambda target: WorkingCopy(target, clock)
    )
    return clock


def add(store: RunStore, number: int) -> None:
    store.add_clean(number, [CleanPrediction(number, np.full(2, number))], 0.1)


def begun(folder: Path, *numbers: int) -> RunStore:
    store = RunStore(folder)
    store.identify(IDENTITY)
    for number in numbers:
        add(store, number)
    return store


def done(folder: Path) -> set[int]:
    """The chunks that a reader sees, who writes nothing."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    reader = RunStore.open_to_read(folder)
    found = {number for _, number in reader.done()}
    assert reader.damage is None
    reader.close()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    return found


def test_the_disk_gets_whole_databases_at_times(run: Path, local: Path, clock: Clock) -> None:
    store = begun(run, 0)
    assert done(run) == set(), "the first copy is that of the claim"
    clock.now = 9
    add(store, 1)
    assert done(run) == set()
    clock.now = 10
    add(store, 2)
    assert done(run) == {0, 1, 2}
    assert {path.name for path in run.iterdir()} == {DATABASE, LOCK}, "no log, no index"
    add(store, 3)
    assert done(run) == {0, 1, 2} and store.done() == {("clean", n) for n in range(4)}
    store.close()
    assert done(run) == {0, 1, 2, 3}
    assert not list(local.iterdir())
    assert {path.stat().st_mode & 0o777 for path in run.iterdir()} == {0o600}


def test_a_slow_disk_takes_a_twentieth_of_the_time(
    run: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, copies = working_copy._sync, []

    def slow(path: Path) -> None:
        sync(path)
        if path.is_file() or path.suffix == ".partial":
            clock.now += 60
            copies.append(clock.now)

    monkeypatch.setattr(working_copy, "_sync", slow)
    store = begun(run)
    for number in range(60):
        clock.now += 100
        add(store, number)
    assert sum(60 for _ in copies) <= 0.06 * clock.now
    store.close()
    assert len(done(run)) == 60


def test_it_is_said_once(run: Path, local: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        begun(run, *range(5)).close()
    (line,) = caplog.messages
    assert f"{run} is on a network disk (nfs4): the run works in {local}" in line


def test_without_a_local_folder_the_run_writes_in_place(
    run: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("robust.engine.run_store.network_disk", lambda path: "")
    fill(run)  # with a log, on a disk that was local then
    monkeypatch.setattr("robust.engine.run_store.network_disk", lambda path: "nfs4")
    store = begun(run, 50)
    assert 50 in done(run)
    assert store._database.execute("PRAGMA journal_mode").fetchone() == ("truncate",)
    assert {path.name for path in run.iterdir()} == {DATABASE, f"{DATABASE}{JOURNAL}", LOCK}
    store.close()
    assert all("TMPDIR" in line for line in caplog.messages)


def test_a_run_goes_on_from_the_copy(run: Path, clock: Clock) -> None:
    fill(run)
    first = RunStore.open_to_read(run)
    expected = content(first)
    first.close()
    store = begun(run, 50)
    assert store.damage is None and len(store.done()) == 3 * CHUNKS + 1
    assert {key: value for key, value in content(store).items() if key in expected} == expected
    store.close()
    assert len(done(run)) == CHUNKS + 1


def test_a_kill_loses_what_came_after_the_copy_alone(run: Path, local: Path, clock: Clock) -> None:
    def act() -> None:
        store = begun(run, 0)
        clock.now = 10
        add(store, 1)
        add(store, 2)
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(act) == -signal.SIGKILL
    assert done(run) == {0, 1}
    store = begun(run)
    assert store.damage is None and store.done() == {("clean", 0), ("clean", 1)}
    add(store, 2)
    store.close()
    assert done(run) == {0, 1, 2}


def test_a_kill_while_the_first_copy_is_made(run: Path, clock: Clock) -> None:
    """What it leaves is removed, and the folder is still that of a run."""
    from robust.engine.run_directory import open_run

    run.mkdir()
    (run / LOCK).touch()
    for name in (f".{DATABASE}.77.partial", f".{DATABASE}.77.partial-journal"):
        (run / name).write_bytes(b"half")
    directory = open_run(run)
    assert directory.new
    directory.store.identify(IDENTITY)
    directory.close(keep=True)
    assert {path.name for path in run.iterdir()} == {DATABASE, LOCK}


def test_a_run_of_a_local_disk_that_was_killed_and_moved(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last chunks are in the log."""

    def act() -> None:
        monkeypatch.setattr("robust.engine.run_store.network_disk", lambda path: "")
        begun(run, 0, 1)
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(act) == -signal.SIGKILL
    assert (run / f"{DATABASE}{LOG}").stat().st_size
    store = begun(run, 2)
    assert store.damage is None
    store.close()
    assert done(run) == {0, 1, 2}
    assert {path.name for path in run.iterdir()} == {DATABASE, LOCK}


def test_a_damaged_copy_is_repaired_and_kept_aside(run: Path, local: Path) -> None:
    fill(run)
    statement(run, "UPDATE outcomes SET success = 1 - success WHERE row = 6")
    damaged = (run / DATABASE).read_bytes()
    store = begun(run)
    assert store.damage is not None and len(store.damage.chunks) == 2
    store.close()
    assert (run / DAMAGED).read_bytes()[100:] == damaged[100:]
    again = begun(run)
    assert again.damage is None and len(again.done()) == 3 * CHUNKS - 2
    again.close()
    assert not list(local.iterdir())


def test_what_is_refused_stays_as_it_was(run: Path, local: Path) -> None:
    begun(run, 0).close()
    before = (run / DATABASE).read_bytes()
    store = RunStore(run)
    with pytest.raises(InputError, match="belongs to another run"):
        store.identify({"plan": "other"})
    store.close()
    assert (run / DATABASE).read_bytes() == before
    assert not list(local.iterdir())


def test_a_run_that_never_began_leaves_nothing(run: Path, local: Path) -> None:
    store = RunStore(run)
    store.remove()
    assert not [path for path in run.iterdir() if path.name != LOCK]
    assert not list(local.iterdir())


@pytest.fixture
def small(tmp_path: Path, run: Path) -> Iterator[Path]:
    with disk(run, "size=400k") as full:
        full.fill(200)
        yield run


@needs_disk
def test_a_full_network_disk_keeps_the_local_file_and_names_it(
    small: Path, local: Path, clock: Clock
) -> None:
    store = begun(small, 0)
    store.close()
    before = (small / DATABASE).read_bytes()
    store = begun(small)
    rows = [CleanPrediction(row, np.zeros(2000)) for row in range(100, 120)]
    clock.now = 100
    with pytest.raises(DatabaseUnavailable, match="the disk is full") as caught:
        store.add_clean(1, rows, 0.1)
    store.close()
    (folder,) = local.iterdir()
    kept = folder / DATABASE
    assert str(kept) in str(caught.value) and str(small / DATABASE) in str(caught.value)
    assert (small / DATABASE).read_bytes() == before, "the last whole copy"
    assert {path.name for path in small.iterdir()} == {DATABASE, LOCK, "filler"}
    (small / "filler").unlink()
    shutil.copyfile(kept, small / DATABASE)  # as the line says
    store = begun(small)
    assert store.damage is None and store.done() == {("clean", 0), ("clean", 1)}
    store.close()


@pytest.mark.parametrize(
    ("number", "said"), [(errno.ESTALE, "stale handle"), (errno.EROFS, "read-only")]
)
def test_a_disk_that_goes_away(
    number: int, said: str, run: Path, local: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(path: Path) -> None:
        raise OSError(number, os.strerror(number), str(path))

    store = begun(run, 0)
    monkeypatch.setattr(working_copy, "_sync", gone)
    with pytest.raises(DatabaseUnavailable, match=said) as caught:
        store.close()
    (folder,) = local.iterdir()
    assert str(folder / DATABASE) in str(caught.value)
    kept = sqlite3.connect(folder / DATABASE)
    assert kept.execute("SELECT cell, chunk FROM chunks").fetchall() == [("clean", 0)]
    kept.close()
    monkeypatch.undo()
    assert done(run) == set(), "the copy of the claim"


def test_a_second_interrupt_keeps_the_local_file(
    run: Path,
    local: Path,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def interrupt(path: Path) -> None:
        raise KeyboardInterrupt

    store = begun(run)
    monkeypatch.setattr(working_copy, "_sync", interrupt)
    clock.now = 20
    with pytest.raises(KeyboardInterrupt):
        add(store, 0)
    with pytest.raises(KeyboardInterrupt):
        store.close()
    (folder,) = local.iterdir()
    assert str(folder / DATABASE) in caplog.messages[-1]
    monkeypatch.undo()
    (run / DATABASE).write_bytes((folder / DATABASE).read_bytes())
    assert done(run) == {0}
