"""An audit that nobody disturbed, and copies of its inputs to disturb."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.small_audit import AUDIT, Calm, outcome, phase_of, write_inputs
from tests.warm import Warm


@pytest.fixture(scope="session")
def calm(commands: Warm, tmp_path_factory: pytest.TempPathFactory) -> Calm:
    """The undisturbed audit: its inputs, its outcome, and how long each of its phases took."""
    folder = write_inputs(tmp_path_factory.mktemp("faults") / "calm")
    began = time.time()
    running = commands.start(folder, *AUDIT)
    done = running.wait()
    assert done.code == 0, done.err
    seconds: dict[str, float] = {}
    marks = [(began, "start"), *((at, phase_of(label)) for at, label in running.stages())]
    for (at, phase), (then, _) in zip(marks, [*marks[1:], (time.time(), "")], strict=True):
        seconds[phase] = seconds.get(phase, 0.0) + then - at
    return Calm(folder, outcome(folder / "run"), seconds, done)


@pytest.fixture
def inputs(calm: Calm, tmp_path: Path) -> Callable[[str], Path]:
    """Makes a folder of that name with the inputs of the audit, and no run."""

    def make(name: str = "inputs") -> Path:
        skip = shutil.ignore_patterns("run", "__pycache__")
        return Path(shutil.copytree(calm.folder, tmp_path / name, ignore=skip))

    return make


@pytest.fixture
def copy(calm: Calm, tmp_path: Path) -> Path:
    """A copy of the inputs with the finished run."""
    return Path(shutil.copytree(calm.folder, tmp_path / "copy"))
