"""One small demonstration run for every example of README and site."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from robust import demo
from robust.cli import app as cli

COUNT = 60
"""Images of the demonstration: detectors are judged on 10 patients or more."""
LESS = {
    "robust demo": f" --count {COUNT}",
    "audit models/": " --limit 40",
    "bench": " --steps 2",
}
"""Of what the examples do: the commands are tested, not how long they take."""


def call(line: str) -> None:
    """Run a command in this process, as the shell would."""
    line += next((less for command, less in LESS.items() if command in line), "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", shlex.split(line))
        with pytest.raises(SystemExit) as ended:
            cli.main()
    assert ended.value.code in (0, None), line


@pytest.fixture(scope="module")
def small_demo() -> Iterator[None]:
    """One epoch, two eps, two detectors, no scenario: commands are tested, not the network."""
    plan = {
        "audit": {"eps": ["1/255", "4/255"]},
        "detection": {"adaptive": 2, "adaptive_steps": 2},
        "scenarios": {"cases": 60},
        "certificates": [{"name": "IntervalBounds", "cases": 4}],
        "corruptions": {"kinds": ["brightness_down"], "severities": [1], "cases": 20},
        "detectors": [{"name": "LID"}, {"name": "MaxSoftmax"}],
    }
    assert set(plan) == set(demo.PLAN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("robust.demo.EPOCHS", 1)
        patch.setattr("robust.demo.PLAN", plan)
        patch.setattr("robust.diagnostics.probe.MAX_CASES", 1)
        yield


@pytest.fixture(scope="module")
def demo_folder(small_demo: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `robust demo` has run."""
    folder = tmp_path_factory.mktemp("examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        call("robust demo")
    return folder


@pytest.fixture
def in_demo(demo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same as the current folder."""
    monkeypatch.chdir(demo_folder)
    return demo_folder
