"""What the README and `--help` show works as printed."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest
import typer

from attacks import ATTACKS
from detectors import DETECTORS
from robust import demo
from robust.cli import main as cli
from robust.engine.gate_check import check_gates
from robust.plan.load import load_plan
from robust.plan.spec import Plan

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


COUNT = 60
"""Images of the demonstration: detectors are judged on 10 patients or more."""
LESS = {"robust demo": f" --count {COUNT}", "audit models/": " --limit 40", "bench": " --steps 2"}
"""Of what the README's commands do: the commands are tested, not how long they take."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """One epoch, two eps, a small probe, no scenario: the commands are tested, not the network."""
    monkeypatch.setattr("robust.demo.EPOCHS", 1)
    monkeypatch.setattr("robust.diagnostics.probe.CASES", 1)
    shorter, cuts = re.subn(
        r"^eps = .*$", 'eps = ["1/255", "4/255"]', demo.PLAN, flags=re.MULTILINE
    )
    assert cuts == 1
    shorter, cuts = re.subn("^(adaptive.*) = .*$", r"\1 = 5", shorter, flags=re.MULTILINE)
    assert cuts == 2
    shorter, cuts = re.subn(r"^(universal|patch) = .*$", r"\1 = []", shorter, flags=re.MULTILINE)
    assert cuts == 2
    monkeypatch.setattr("robust.demo.PLAN", shorter)
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


def test_the_commands(
    quick: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = re.findall(r"^\$ (robust .*)$", "\n".join(blocks("console")), flags=re.MULTILINE)
    own = [c for c in commands if not c.endswith("\\")]
    assert len(own) == 12
    for command in own:
        call(monkeypatch, command + next((s for c, s in LESS.items() if c in command), ""))
    assert (quick / "runs/first/report.md").exists()
    assert len(list((quick / "adversarial").glob("*.png"))) >= 1
    seen = (quick / "screened.csv").read_text(encoding="utf-8").splitlines()
    assert len(seen) == 1 + len(list((quick / "adversarial").glob("*.png")))
    example = next(block for block in blocks("python") if "robust.Guard" in block)
    exec(compile(example, "README.md", "exec"), {})
    assert len(re.findall(r"^(normal|opacity) -?\d", capsys.readouterr().out, re.MULTILINE)) == 8


def test_the_plan(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(blocks("toml")[0], encoding="utf-8")
    plan = load_plan(tmp_path / "plan.toml")
    assert plan.attacks[0].fields() == {"steps": 40}
    check_gates(plan, needed=True)
    written = set(re.findall(r"^#? ?(\w+)", blocks("toml")[0], flags=re.MULTILINE))
    assert {"outputs", "mean"} <= written and "title" in Plan.model_fields


def test_the_workflow_is_twelve_lines_that_github_and_the_command_line_know() -> None:
    yaml = pytest.importorskip("yaml")
    (text,) = blocks("yaml")
    assert len(text.splitlines()) == 12
    workflow = yaml.safe_load(text)
    assert workflow[True] == "pull_request"  # YAML 1.1 reads the key `on` so; GitHub does not
    steps = workflow["jobs"]["audit"]["steps"]
    assert all(set(step) <= {"uses", "with", "run", "if"} for step in steps)
    (line,) = [s["run"] for s in steps if s.get("run", "").startswith("robust ")]
    known = typer.main.get_command(cli.app).commands["audit"]  # type: ignore[attr-defined]
    made = known.make_context("audit", shlex.split(line)[2:]).params
    assert made["gate"] and made["no_gallery"] and made["plan"] == Path("plan.toml")
    upload = steps[-1]
    assert upload["if"] == "always()" and upload["with"]["path"] == made["out"].as_posix()


def test_every_attack_and_every_detector_is_in_a_table() -> None:
    rows = re.findall(r"^\| (`.*?`) \|", README, flags=re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named == set(ATTACKS) | set(DETECTORS)


@pytest.mark.parametrize(
    "command",
    [
        *("demo", "audit", "attack", "fit-detector", "screen", "compare", "bench", "report"),
        *("list", "train"),
    ],
)
def test_help_shows_an_example(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(monkeypatch, f"robust {command} --help")
    assert f"robust {command} " in capsys.readouterr().out.split("Example")[1]


@pytest.mark.slow
def test_help_examples_work_as_printed(quick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call(monkeypatch, f"robust demo --count {COUNT}")
    examples = [info.epilog or "" for info in cli.app.registered_commands]
    assert len(examples) == 10
    for example in examples:
        command = re.search(r"Example(?: \(after robust demo\))?: (robust .*)$", example)
        assert command, example
        call(monkeypatch, command[1] + (f" --count {COUNT}" if " demo " in command[1] else ""))
