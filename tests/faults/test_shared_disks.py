"""Audits on disks without locks, without shared memory and on a network: the same report."""

from __future__ import annotations

import errno
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.disks import disk, needs_disk
from tests.faults.kernel import needs_filter
from tests.faults.small_audit import AUDIT, Calm, finished, messages, one_line, resumed
from tests.faults.test_kills import IN_ORDER, stop_in
from tests.warm import Warm

NO_SHARED_MEMORY = {"refused": {"shared memory": errno.ENODEV}}
NETWORK = {"network": "run"}


@needs_filter
@pytest.mark.parametrize(
    "number",
    [
        errno.ENOLCK,
        *(pytest.param(n, marks=pytest.mark.slow) for n in (errno.ENOSYS, errno.EINVAL)),
    ],
)
def test_a_disk_without_locks(
    number: int, commands: Warm, calm: Calm, inputs: Callable[[str], Path]
) -> None:
    folder = inputs("unlocked")
    one_line(commands.run(folder, *AUDIT, refused={"flock": number}), 2, "has no locks", "run")
    assert finished(folder / "run") == (set(), {})
    stop_in(commands.start(folder, *AUDIT), "attacks", 0, signal.SIGKILL)
    before = {path.name: path.read_bytes() for path in (folder / "run").iterdir()}
    one_line(commands.run(folder, *AUDIT, refused={"flock": number}), 2, "has no locks", "run")
    assert {path.name: path.read_bytes() for path in (folder / "run").iterdir()} == before
    resumed(commands, folder, calm)


def kills(
    commands: Warm, calm: Calm, folder: Path, phases: tuple[str, ...], **options: object
) -> None:
    """Kill an audit once in each phase, then let it end: nothing that was stored goes again."""
    rng, before = random.Random(3), finished(folder / "run")
    for phase in phases:
        running = commands.start(folder, *AUDIT, **options)  # type: ignore[arg-type]
        stop_in(running, phase, rng.uniform(0, 0.3 * calm.seconds[phase]), signal.SIGKILL)
        report = commands.run(folder, "report", "run", "--format", "text", **options)
        assert report.code == 0 or phase not in ("scenarios", "report"), report
        assert "damaged" not in report.err
        chunks, memos = finished(folder / "run")
        assert before[0] <= chunks and before[1].items() <= memos.items()
        before = chunks, memos
    resumed(commands, folder, calm, **options)


@pytest.mark.slow
@needs_filter
def test_kills_where_there_is_no_log(
    commands: Warm, calm: Calm, inputs: Callable[[str], Path]
) -> None:
    folder = inputs("killed")
    kills(commands, calm, folder, ("clean", "attacks", "scenarios", "report"), **NO_SHARED_MEMORY)
    assert not (folder / "run" / "outcomes.sqlite-wal").exists()
    resumed(commands, folder, calm)


@pytest.mark.slow
@needs_filter
def test_kills_in_each_phase_where_there_is_no_log(
    commands: Warm, calm: Calm, inputs: Callable[[str], Path]
) -> None:
    for number in range(2):
        kills(commands, calm, inputs(f"killed{number}"), IN_ORDER, **NO_SHARED_MEMORY)


@pytest.mark.slow
def test_kills_on_a_network_disk(
    commands: Warm, calm: Calm, inputs: Callable[[str], Path], tmp_path: Path
) -> None:
    folder, local = inputs("killed"), tmp_path / "local"
    local.mkdir()
    options = {**NETWORK, "env": {"TMPDIR": str(local)}}
    kills(commands, calm, folder, ("clean", "attacks", "report"), **options)
    names = {path.name for path in (folder / "run").iterdir()}
    assert names & {"outcomes.sqlite", "outcomes.sqlite-wal"} == {"outcomes.sqlite"}
    shutil.rmtree(local)
    resumed(commands, folder, calm)


@pytest.mark.slow
def test_a_signal_on_a_network_disk_loses_nothing(
    commands: Warm, calm: Calm, inputs: Callable[[str], Path]
) -> None:
    folder = inputs("signalled")
    running = commands.start(folder, *AUDIT, **NETWORK)
    _, done = stop_in(running, "scenarios", 0, signal.SIGTERM)
    assert done.code == 143, done
    said, last = messages(done)
    assert "is on a network disk (nfs4)" in said and "the same command continues" in last
    chunks, _ = finished(folder / "run")
    cells = {chunk[0] for chunk in chunks}
    assert "clean" in cells and len(cells) > 5, "all that came before the scenarios"
    text = commands.run(folder, "report", "run", "--format", "text", **NETWORK)
    assert text.code == 0 and not text.err, text
    resumed(commands, folder, calm, **NETWORK)


@pytest.mark.slow
@needs_disk
def test_a_full_network_disk_names_the_local_file(
    commands: Warm, calm: Calm, inputs: Callable[[str], Path], tmp_path: Path
) -> None:
    folder, local = inputs("full"), tmp_path / "local"
    local.mkdir()
    options = {**NETWORK, "env": {"TMPDIR": str(local)}}
    with disk(folder / "run", "size=150k") as small:
        done = commands.run(folder, *AUDIT, **options)
        assert done.code == 2, done
        _, line = messages(done)
        (kept,) = local.glob("*/outcomes.sqlite")
        assert "the disk is full; make room" in line and str(kept) in line
        small.change("size=64m")
        stored = finished(folder / "run")
        shutil.copyfile(kept, folder / "run" / "outcomes.sqlite")
        chunks, memos = finished(folder / "run")
        # How far it came before the disk was full depends on how fast the machine is.
        assert stored[0] <= chunks and stored[1].items() <= memos.items()
        assert (chunks, memos) != stored, "the local file holds more than the full disk"
        resumed(commands, folder, calm, **options)
