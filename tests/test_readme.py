"""What the README and `--help` show works as printed."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from attacks import ATTACKS
from robust import cli
from robust.engine.plan import Plan, load_plan

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """One epoch of training, in an empty folder: the commands are tested, not the network."""
    monkeypatch.setattr("robust.demo.EPOCHS", 1)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.setattr(sys, "argv", shlex.split(line))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code in (0, None), line


def test_the_python_example(quick: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example = next(block for block in blocks("python") if "robust.audit" in block)
    exec(compile(example, "README.md", "exec"), {})
    assert re.search(r"\d %? ?\[?.*cases still right", capsys.readouterr().out)


def test_the_commands(quick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = re.findall(r"^\$ (robust .*)$", "\n".join(blocks("console")), flags=re.MULTILINE)
    own = [c for c in commands if not c.endswith("\\")]
    assert len(own) == 6
    for command in own:
        call(monkeypatch, command + (" --count 12" if command == "robust demo" else ""))
    assert (quick / "runs/first/report.md").exists()
    assert len(list((quick / "adversarial").glob("*.png"))) >= 1


def test_the_plan(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(blocks("toml")[0], encoding="utf-8")
    plan = load_plan(tmp_path / "plan.toml")
    assert plan.attacks[0].fields() == {"steps": 40}
    written = set(re.findall(r"^#? ?(\w+)", blocks("toml")[0], flags=re.MULTILINE))
    assert {"outputs", "mean"} <= written and "title" in Plan.model_fields


def test_every_attack_is_in_the_table() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", README, flags=re.MULTILINE)) == set(ATTACKS)


@pytest.mark.parametrize("command", ["demo", "audit", "attack", "report", "list"])
def test_help_shows_an_example(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "robust.cli", command, "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert f"robust {command} " in done.stdout.split("Example")[1]


def test_help_examples_work_as_printed(quick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call(monkeypatch, "robust demo --count 12")
    examples = [info.epilog or "" for info in cli.app.registered_commands]
    assert len(examples) == 5
    for example in examples:
        command = re.search(r"Example(?: \(after robust demo\))?: (robust .*)$", example)
        assert command, example
        call(monkeypatch, command[1] + (" --count 12" if " demo " in command[1] else ""))
