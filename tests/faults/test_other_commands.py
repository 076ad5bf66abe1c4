"""Trainings, detectors and exports that are killed: begun anew or continued, they end the same."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.small_audit import Calm, one_line
from tests.warm import Warm

TRAIN = (
    *("train", "--architecture", "timm:test_efficientnet", "--random", "--data", "images"),
    *("--val", "0.3", "--size", "32", "--epochs", "4", "--batch", "16", "--out", "model"),
)
FIT = (
    *("fit-detector", "plan.toml", "--detector", "KernelDensity", "--attack", "FGSM"),
    *("--eps", "8/255", "--split", "test", "--false-alarms", "20%", "--out", "guard"),
)
EXPORT = ("attack", "plan.toml", "--attack", "FGSM", "--eps", "8/255")


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


def kill(
    commands: Warm, folder: Path, command: tuple[str, ...], times: list[float], number: int
) -> int:
    """Begin a command and send it a signal so many seconds later, once for each; how many hit."""
    hit = 0
    for seconds in times:
        running = commands.start(folder, *command)
        time.sleep(seconds)
        running.send(signal.Signals(number))
        done = running.wait()
        assert done.code in (0, -number, 128 + number), done
        if done.code == 128 + number:
            one_line(done, 128 + number, "interrupted")
        hit += done.code != 0
    return hit


def run(commands: Warm, folder: Path, *command: str) -> float:
    """A command to its good end; the seconds that it took."""
    began = time.perf_counter()
    done = commands.run(folder, *command)
    assert done.code == 0, done
    return time.perf_counter() - began


def trained(folder: Path) -> tuple[bytes, Any]:
    """What a training ends in: the weights, and model.json without what a clock says."""
    content = json.loads((folder / "model" / "model.json").read_text(encoding="utf-8"))
    for row in content["training"]["history"]:
        row.pop("seconds", None)
    return (folder / "model" / "model.safetensors").read_bytes(), content


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_training_goes_on(
    number: signal.Signals, commands: Warm, inputs: Callable[[str], Path]
) -> None:
    calm, folder, rng = inputs("calm"), inputs("killed"), random.Random(number)
    seconds = run(commands, calm, *TRAIN)
    times = sorted(rng.uniform(0.1, 0.9) * seconds for _ in range(4))
    assert kill(commands, folder, TRAIN, times, number)
    run(commands, folder, *TRAIN)
    assert trained(folder) == trained(calm)
    run(commands, folder, *TRAIN)
    assert trained(folder) == trained(calm)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_detector_is_there_as_a_whole_or_not_at_all(
    number: signal.Signals, commands: Warm, inputs: Callable[[str], Path]
) -> None:
    calm, folder, rng = inputs("calm"), inputs("killed"), random.Random(number)
    seconds = run(commands, calm, *FIT)
    for _ in range(5):
        hit = kill(commands, folder, FIT, [rng.uniform(0.05, 0.9) * seconds], number)
        assert (folder / "guard").exists() == (not hit)
        if not hit:
            break
    if not (folder / "guard").exists():
        run(commands, folder, *FIT)
    assert files(folder / "guard") == files(calm / "guard")
    one_line(commands.run(folder, *FIT), 2, "guard")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_export_is_made_anew(
    number: signal.Signals, calm: Calm, commands: Warm, inputs: Callable[[str], Path]
) -> None:
    folder, rng = inputs("killed"), random.Random(number)
    seconds = run(commands, folder, *EXPORT, "--out", "calm")
    expected = files(folder / "calm")
    assert len(expected) > 20
    hit = 0
    for place in range(4):
        out = f"out{place}"
        at = rng.uniform(0.1, 0.9) * seconds
        hit += kill(commands, folder, (*EXPORT, "--out", out), [at], number)
        left = files(folder / out)
        if left:  # the user decides what becomes of them
            one_line(commands.run(folder, *EXPORT, "--out", out), 2, out)
            assert files(folder / out) == left
        run(commands, folder, *EXPORT, "--out", f"{out} again")
        assert files(folder / f"{out} again") == expected
    assert hit


@pytest.mark.slow
def test_a_report_is_written_as_a_whole(commands: Warm, copy: Path) -> None:
    """Killed while `robust report` writes, the old file or the new one is there."""
    page, rng = copy / "run" / "report.html", random.Random(0)
    whole = page.read_bytes()
    seconds = run(commands, copy, "report", "run", "--format", "html")
    for _ in range(8):
        kill(
            commands,
            copy,
            ("report", "run", "--format", "html"),
            [rng.uniform(0, seconds)],
            signal.SIGKILL,
        )
        assert page.read_bytes() == whole
