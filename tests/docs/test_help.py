"""What `--help` shows works as printed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from robust.cli import app as cli
from tests.docs.conftest import call


@pytest.mark.parametrize(
    "command",
    [
        *("demo", "audit", "attack", "fit-detector", "screen", "compare", "bench", "report"),
        *("list", "train", "merge", "init", "rank", "view", "schema", "check"),
    ],
)
def test_help_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    call(f"robust {command} --help")
    assert f"robust {command} " in capsys.readouterr().out.split("Example")[1]


@pytest.mark.slow
def test_help_examples_work_as_printed(
    demo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a copy, since other examples write to folders of the same names."""
    shutil.copytree(demo_folder / "demo-report", tmp_path / "demo-report")
    monkeypatch.chdir(tmp_path)
    examples = [info.epilog or "" for info in cli.app.registered_commands]
    assert len(examples) >= 16
    for example in examples:
        command = re.search(r"Example(?: \(after (robust [^)]*)\))?: (robust .*)$", example)
        assert command, example
        if command[2].startswith(("robust init ", "robust sweep ")):
            continue  # of the user's own files; tests/cli has some
        if command[1] not in (None, "robust demo"):
            call(command[1])
        call(command[2])
