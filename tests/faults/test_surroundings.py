"""Few file descriptors, little memory, other users, other folders, two processes at once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.small_audit import (
    AUDIT,
    Calm,
    finished,
    one_line,
    resumed,
    same_outcome,
    undated,
)
from tests.faults.test_kills import stop_in
from tests.warm import ROOT, Warm

NOBODY = 65534


def limited(commands: Warm, calm: Calm, folder: Path, limits: dict[str, int], *said: str) -> int:
    """Audit under limits, then without: one line or the outcome, and then the outcome."""
    done = commands.run(folder, *AUDIT, limits=limits)
    if done.code == 0:
        same_outcome(folder / "run", calm)
    else:
        one_line(done, 2, *said)
    resumed(commands, folder, calm)
    return done.code


def size(commands: Warm, which: int) -> int:
    """Bytes of the warm process: its address space (0) or its data (5)."""
    pages = Path(f"/proc/{commands.pid}/statm").read_text(encoding="ascii").split()
    return int(pages[which]) * 4096


@pytest.mark.slow
@pytest.mark.parametrize("most", [20])
def test_few_file_descriptors(
    most: int, commands: Warm, calm: Calm, inputs: Callable[[str], Path]
) -> None:
    limited(commands, calm, inputs("few"), {"RLIMIT_NOFILE": most})


@pytest.mark.slow
@pytest.mark.parametrize("most", [8, 10, 12, 14, 16, 18, 24, 32, 64])
def test_file_descriptors(
    most: int, commands: Warm, calm: Calm, inputs: Callable[[str], Path]
) -> None:
    limited(commands, calm, inputs("few"), {"RLIMIT_NOFILE": most})


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [100])
def test_files_may_not_grow(
    kilobytes: int, commands: Warm, calm: Calm, inputs: Callable[[str], Path]
) -> None:
    code = limited(commands, calm, inputs("short"), {"RLIMIT_FSIZE": kilobytes << 10})
    assert code == 2


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [1, 4, 16, 50, 150, 200, 250])
def test_files_may_not_grow_much(
    kilobytes: int, commands: Warm, calm: Calm, inputs: Callable[[str], Path]
) -> None:
    limited(commands, calm, inputs("short"), {"RLIMIT_FSIZE": kilobytes << 10})


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("more", [8])
def test_little_memory(
    more: int, commands: Warm, calm: Calm, inputs: Callable[[str], Path]
) -> None:
    limits = {"RLIMIT_AS": size(commands, 0) + (more << 20)}
    limited(commands, calm, inputs("memory"), limits)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("which", ["RLIMIT_AS", "RLIMIT_DATA"])
@pytest.mark.parametrize("more", [1, 4, 24, 64, 256, 900, 1100, 2000])
def test_memory(
    which: str, more: int, commands: Warm, calm: Calm, inputs: Callable[[str], Path]
) -> None:
    limits = {which: size(commands, 0 if which == "RLIMIT_AS" else 5) + (more << 20)}
    limited(commands, calm, inputs("memory"), limits)


@pytest.mark.slow
def test_a_run_that_was_moved(commands: Warm, calm: Calm, inputs: Callable[[str], Path]) -> None:
    folder = inputs("before")
    stop_in(commands.start(folder, *AUDIT), "scenarios", 0, signal.SIGKILL)
    chunks, memos = finished(folder / "run")
    moved = folder.rename(folder.with_name("after"))
    (moved / "run").rename(moved / "another name")
    done = commands.run(moved, "audit", "plan.toml", "--out", "another name")
    assert done.code == 0, done
    same_outcome(moved / "another name", calm)
    kept, remembered = finished(moved / "another name")
    assert chunks <= kept and memos.items() <= remembered.items()


@pytest.mark.slow
def test_two_processes_at_once(commands: Warm, calm: Calm, inputs: Callable[[str], Path]) -> None:
    folder = inputs("both")
    first = commands.start(folder, *AUDIT)
    while not first.stages():
        time.sleep(0.002)
    first.send(signal.SIGSTOP)  # so that it is still there
    for _ in range(2):
        one_line(commands.run(folder, *AUDIT), 2, "another process is using")
    text = commands.run(folder, "report", "run", "--format", "text")
    if text.code:
        one_line(text, 2, "has not")
    first.send(signal.SIGCONT)
    stop_in(first, "attacks", 0, signal.SIGKILL)
    resumed(commands, folder, calm)


@pytest.mark.slow
def test_two_processes_that_take_over(
    commands: Warm, calm: Calm, inputs: Callable[[str], Path]
) -> None:
    """The first is killed while the second tries again and again."""
    for phase in ("clean", "attacks", "adaptive", "report"):
        folder = inputs(phase)
        first = commands.start(folder, *AUDIT)
        while not any(label for _, label in first.stages()):
            time.sleep(0.002)
        second = commands.start(folder, *AUDIT)
        stop_in(first, phase, 0, signal.SIGKILL)
        while (done := second.wait()).code:
            one_line(done, 2, "another process is using")
            second = commands.start(folder, *AUDIT)
        same_outcome(folder / "run", calm)


@pytest.mark.slow
def test_another_number_of_threads(
    commands: Warm, calm: Calm, inputs: Callable[[str], Path]
) -> None:
    folder = inputs("threads")
    stop_in(commands.start(folder, *AUDIT), "attacks", 0, signal.SIGKILL)
    resumed(commands, folder, calm, threads=2)


@pytest.fixture
def foreign() -> Iterator[Path]:
    """A folder that everybody may enter and nobody but its owner may write to."""
    folder = Path(tempfile.mkdtemp(prefix="robust-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def python_for_nobody() -> bool:
    """Whether this user may run this Python as another user, who may read its libraries."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return False
    try:
        done = subprocess.run([sys.executable, "-c", ""], user=NOBODY, capture_output=True, cwd="/")
    except OSError:
        return False
    return done.returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not python_for_nobody(), reason="needs root, and a Python open to all")
def test_another_user(commands: Warm, calm: Calm, copy: Path, foreign: Path) -> None:
    folder = Path(shutil.copytree(copy, foreign / "inputs"))
    shutil.rmtree(folder / "run")
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    one_line(commands.run(folder, *AUDIT, uid=NOBODY), 2, "permission denied")
    assert not (folder / "run").exists()
    stop_in(commands.start(folder, *AUDIT), "attacks", 0, signal.SIGKILL)
    before = {p: p.read_bytes() for p in (folder / "run").iterdir()}
    one_line(commands.run(folder, *AUDIT, uid=NOBODY), 2, "permission denied")
    one_line(commands.run(folder, "report", "run", uid=NOBODY), 2, "permission denied")
    assert {p: p.read_bytes() for p in (folder / "run").iterdir()} == before
    resumed(commands, folder, calm)
    (folder / "images" / "test3.png").chmod(0)
    done = commands.run(folder, "audit", "plan.toml", "--out", foreign / "new", uid=NOBODY)
    one_line(done, 2, "permission denied")


@pytest.mark.slow
@pytest.mark.parametrize("where", ["missing", "a file", "full"])
def test_a_temporary_folder_that_is_of_no_use(
    where: str, commands: Warm, calm: Calm, inputs: Callable[[str], Path], tmp_path: Path
) -> None:
    folder, place = inputs("temporary"), tmp_path / "nowhere"
    if where == "a file":
        place.write_text("", encoding="utf-8")
    elif where == "full":
        place = Path("/dev/full")
    done = commands.run(folder, *AUDIT, env={"TMPDIR": str(place)})
    assert done.code == 0, done
    same_outcome(folder / "run", calm)


@pytest.mark.slow
@pytest.mark.parametrize("home", [None, "/proc", "/nonexistent"])
def test_a_home_that_cannot_be_written(
    home: str | None, calm: Calm, inputs: Callable[[str], Path]
) -> None:
    folder = inputs("home")
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    env.pop("HOME", None)
    if home is not None:
        env["HOME"] = home
    command = [sys.executable, "-m", "robust", *AUDIT]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert undated(done.stdout) == undated(calm.done.out)
    same_outcome(folder / "run", calm)
