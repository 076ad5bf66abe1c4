"""Examples of README and site work as printed."""

from __future__ import annotations

import dataclasses
import functools
import re
import tomllib
from pathlib import Path

import pytest
import typer
from torch import nn

from robust.cli import app as cli
from robust.demo import train
from robust.engine.gate_precheck import check_gates
from robust.plan.load import make_plan
from robust.sweeps.spec import make_sweep
from robust.training.recipe import make_recipe
from tests.docs.conftest import call
from tests.docs.pages import ROOT, Block, blocks

MARKS = {"", "run", "slow", "pytest", "attack", "detector", "hook"}


def test_every_mark_is_known() -> None:
    languages = ("python", "console", "toml", "yaml", "text")
    assert {block.mark for language in languages for block in blocks(language)} == MARKS


@pytest.mark.slow
def test_console_examples(in_demo: Path) -> None:
    commands = [command for block in blocks("console", "run") for command in block.commands()]
    assert len(commands) >= 10
    for command in commands:
        call(command)
    assert (in_demo / "runs/first/report.md").exists()
    assert (in_demo / "runs/first/regulatory.html").exists()
    assert list((in_demo / "adversarial").glob("*.png"))


@pytest.mark.slow
def test_the_plan_of_the_demonstration_says_how_to_repeat_it(in_demo: Path) -> None:
    text = (in_demo / "demo-report/plan.toml").read_text(encoding="utf-8")
    (line,) = re.findall(r"Repeat it with: (.*)$", text, flags=re.MULTILINE)
    assert line == "robust audit demo-report/plan.toml --out demo-report/again"
    call(line)
    first, again = (
        (in_demo / "demo-report" / run / "outcomes.csv").read_bytes() for run in ("run", "again")
    )
    assert first == again


@pytest.mark.slow
def test_slow_console_examples(in_demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not (in_demo / "adversarial").exists():
        (command,) = [c for b in blocks("console", "run") for c in b.commands() if "--bits" in c]
        call(command)
    for block in blocks("console", "slow"):
        for command in block.commands():
            call(command)
    images = list((in_demo / "perturbed").glob("*.png"))
    assert len((in_demo / "screened.csv").read_text("utf-8").splitlines()) == 1 + len(images)
    capsys.readouterr()
    for block in blocks("python", "slow"):
        _run(block)
    assert len(re.findall(r"^(normal|opacity) -?\d", capsys.readouterr().out, re.MULTILINE)) == 8


@functools.cache
def trained_on_few(modality: str) -> nn.Module:
    """The network of the demonstration after a fifth of its images, trained once."""
    return train(modality, count=120)


@pytest.mark.parametrize("block", blocks("python", "run"), ids=str)
def test_python_examples(
    block: Block,
    small_demo: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("robust.demo.train", trained_on_few)
    monkeypatch.chdir(tmp_path)
    less = re.sub(r"\bcount=60\b", "count=24", re.sub(r"\bsteps=40\b", "steps=4", block.text))
    _run(dataclasses.replace(block, text=less))
    assert re.search(r"\d ?%", capsys.readouterr().out)


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_compiles(block: Block) -> None:
    compile(block.text, block.page, "exec")


@pytest.mark.parametrize("block", blocks("console"), ids=str)
def test_the_command_line_knows_what_is_shown(block: Block) -> None:
    known = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]
    for name, *arguments in block.arguments():
        known[name].make_context(name, arguments)


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_plans_and_recipes_are_such(block: Block) -> None:
    raw = tomllib.loads(block.text)
    if block.page.endswith("sweeps.md"):
        if "axes" in raw and "plan" in raw:  # a whole file; others show one table
            make_sweep(raw, block.page)
        return
    if block.page.endswith("training.md"):
        make_recipe({"network": {"architecture": "resnet18"}, **raw}, block.page)
        return
    plan = make_plan(raw, block.page)
    if plan.gates:
        check_gates(plan, required=True)


def test_the_plan_example_names_most_fields() -> None:
    whole = [b for b in blocks("toml") if "title" in b.text and not b.page.endswith("sweeps.md")]
    (plan,) = [make_plan(tomllib.loads(b.text)) for b in whole]
    assert plan.attacks[0].fields() == {"steps": 40}
    assert plan.gates and plan.detectors and plan.scenarios.queries and plan.scenarios.surrogate


def test_the_workflow_is_twelve_lines_that_the_action_and_the_command_line_know() -> None:
    yaml = pytest.importorskip("yaml")
    (block,) = blocks("yaml", "")
    assert len(block.text.splitlines()) == 12
    workflow = yaml.safe_load(block.text)
    assert workflow[True] == "pull_request"  # YAML 1.1 reads the key `on` so; GitHub does not
    (given,) = [s["with"] for s in workflow["jobs"]["audit"]["steps"] if s["uses"] == "./robust"]
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    needed = {name for name, one in action["inputs"].items() if one.get("required")}
    assert needed <= set(given) <= set(action["inputs"])
    known = typer.main.get_command(cli.app).commands["audit"]  # type: ignore[attr-defined]
    made = known.make_context("audit", [given["plan"], *given["arguments"].splitlines()]).params
    assert made["plan"] == Path("plan.toml")
    page = (ROOT / block.page).read_text(encoding="utf-8")
    for name, one in action["inputs"].items():
        row = re.search(rf"^\| [^|]*`{name}`[^|]* \|([^|]*)\|", page, flags=re.MULTILINE)
        assert row and (not one.get("default") or f"`{one['default']}`" in row[1]), name


def test_the_hook_on_the_page_is_the_one_of_this_repository() -> None:
    yaml = pytest.importorskip("yaml")
    (block,) = blocks("yaml", "hook")
    ((hook,),) = [repository["hooks"] for repository in yaml.safe_load(block.text)["repos"]]
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert hook["id"] in {one["id"] for one in hooks}


def test_readme_fits_and_its_links_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_the_citation_is_of_this_version() -> None:
    yaml = pytest.importorskip("yaml")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])


def _run(block: Block) -> None:
    exec(compile(block.text, block.page, "exec"), {"__name__": "example"})
