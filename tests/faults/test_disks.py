"""Full and read-only disks: one line that says so, and with room again the same report."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.disks import disk, needs_disk
from tests.faults.small_audit import (
    AUDIT,
    Calm,
    finished,
    one_line,
    resumed,
    same_outcome,
)
from tests.faults.test_kills import stop_in
from tests.warm import Warm

pytestmark = needs_disk
FULL = "the disk is full; make room"


def fill_and_go_on(commands: Warm, calm: Calm, folder: Path, options: str, said: str = FULL) -> int:
    """Audit onto a small disk, then with room; the exit code of the first try."""
    with disk(folder / "run", options) as small:
        done = commands.run(folder, *AUDIT)
        if done.code == 0:
            same_outcome(folder / "run", calm)
        else:
            one_line(done, 2, said)
        small.change("size=64m,nr_inodes=1000")
        resumed(commands, folder, calm)
    return done.code


def test_a_full_disk_is_one_line_and_the_run_goes_on(
    commands: Warm, calm: Calm, inputs: Callable[[str], Path]
) -> None:
    codes = [
        fill_and_go_on(commands, calm, inputs(f"full{size}"), f"size={size}k") for size in (200,)
    ]
    assert codes == [2]


@pytest.mark.slow
@pytest.mark.parametrize("size", [4, 16, 36, 64, 96, 128, 160, 260, 320, 400, 480, 560, 640, 1000])
def test_disks_of_many_sizes(
    size: int, commands: Warm, calm: Calm, inputs: Callable[[str], Path]
) -> None:
    fill_and_go_on(commands, calm, inputs("full"), f"size={size}k")


@pytest.mark.slow
@pytest.mark.parametrize("nodes", [1, 2, 3, 4, 6, 8, 10])
def test_a_disk_without_room_for_more_files(
    nodes: int, commands: Warm, calm: Calm, inputs: Callable[[str], Path]
) -> None:
    fill_and_go_on(commands, calm, inputs("full"), f"size=64m,nr_inodes={nodes}")


@pytest.mark.slow
def test_a_disk_that_is_full_when_the_report_is_written(
    commands: Warm, calm: Calm, inputs: Callable[[str], Path]
) -> None:
    folder = inputs("late")
    with disk(folder / "run", "size=64m") as small:
        stop_in(commands.start(folder, *AUDIT), "report", 0, signal.SIGKILL)
        before = finished(folder / "run")
        for room in (0, 40, 150):
            small.fill(room)
            one_line(commands.run(folder, *AUDIT), 2, FULL)
            small.empty()
            chunks, memos = finished(folder / "run")
            assert before[0] <= chunks and before[1].items() <= memos.items()
        resumed(commands, folder, calm)
        small.fill(0)
        for report in ("html", "md", "latex", "svg"):
            done = commands.run(folder, "report", "run", "--format", report)
            one_line(done, 2, "disk is full")
        done = commands.run(folder, "report", "run", "--format", "text")
        assert done.code == 0 and not done.err
        same_outcome(folder / "run", calm)


@pytest.mark.slow
def test_a_read_only_disk(commands: Warm, calm: Calm, inputs: Callable[[str], Path]) -> None:
    folder = inputs("read-only")
    with disk(folder / "run", "size=64m,ro"):
        one_line(commands.run(folder, *AUDIT), 2, "read-only")
        assert not list((folder / "run").iterdir())
    (folder / "run").rmdir()
    with disk(folder / "run", "size=64m") as small:
        stop_in(commands.start(folder, *AUDIT), "scenarios", 0, signal.SIGKILL)
        small.change("ro")
        one_line(commands.run(folder, *AUDIT), 2, "read-only")
        text = commands.run(folder, "report", "run", "--format", "text")
        assert text.code == 0 and not text.err, text
        one_line(commands.run(folder, "report", "run", "--format", "md"), 2, "read-only")
        small.change("rw")
        resumed(commands, folder, calm)
        small.change("ro")
        one_line(commands.run(folder, *AUDIT), 2, "read-only")
        assert commands.run(folder, "report", "run", "--format", "text").code == 0


@pytest.mark.slow
def test_inputs_on_a_read_only_disk(
    commands: Warm, calm: Calm, inputs: Callable[[str], Path]
) -> None:
    folder = inputs("inputs")
    subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
        one_line(commands.run(folder, *AUDIT), 2, "read-only")
        out = folder.parent / "elsewhere"
        assert commands.run(folder, "audit", "plan.toml", "--out", out).code == 0
        same_outcome(out, calm)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
