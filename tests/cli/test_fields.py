"""Options that set a field: each names one that exists, and `--help` shows its default."""

from __future__ import annotations

import re

import pytest
import typer
from pydantic import BaseModel

from robust.cli import audit, train
from robust.cli.app import app
from robust.cli.plan_options.fields import FieldOption, Panels, default_text
from robust.plan.load import find_table
from robust.plan.spec import Plan
from robust.training.recipe import Recipe
from tests.cli.commands import Robust

COMMANDS = [("audit", Plan, audit.PANELS), ("train", Recipe, train.PANELS)]


def options(panels: Panels) -> list[FieldOption]:
    return [option for _, group in panels for option in group]


@pytest.mark.parametrize(("command", "model", "panels"), COMMANDS)
def test_every_option_names_a_field(command: str, model: type[BaseModel], panels: Panels) -> None:
    flags = [option.flag for option in options(panels)]
    fields = [option.field for option in options(panels)]
    assert len(set(flags)) == len(flags) and len(set(fields)) == len(fields)
    for option in options(panels):
        *tables, name = option.field.split(".")
        assert name in find_table(model, tables).model_fields, option.field


@pytest.mark.parametrize(("command", "model", "panels"), COMMANDS)
def test_help_groups_options_and_shows_their_defaults(
    robust: Robust,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    model: type[BaseModel],
    panels: Panels,
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shown = robust(command, "--help").out
    titles = re.findall(r"^╭─ (.*?) ─*╮$", shown, re.MULTILINE)
    assert [title for title, _ in panels] == [t for t in titles if t in dict(panels)]
    for option in options(panels):
        flag = option.flag.split("/")[0]
        (line,) = re.findall(rf"^│ +{flag} .*$", shown, re.MULTILINE)
        default = option.default or default_text(model, option.field)
        if default:
            assert f"[default: {default}]" in line, line


def test_defaults_are_those_of_the_plan() -> None:
    assert default_text(Plan, "audit.eps") == "0.5/255,1/255,2/255,4/255,8/255"
    assert default_text(Plan, "attacks").startswith("Noise,FGSM")
    assert default_text(Plan, "audit.threshold") == "0.5"
    assert default_text(Plan, "data.path") == default_text(Plan, "data.grey") == ""
    assert default_text(Recipe, "training.lr") == "0.001"


@pytest.mark.parametrize("command", ["audit", "train", "demo", "attack", "report", "compare"])
def test_every_option_is_in_a_panel(command: str) -> None:
    known = typer.main.get_command(app).commands[command]  # type: ignore[attr-defined]
    loose = [
        parameter.name
        for parameter in known.params
        if parameter.param_type_name == "option" and not parameter.rich_help_panel
    ]
    assert not loose


def test_markup_in_help_is_printed_as_it_is(robust: Robust) -> None:
    assert "'robust-audit[train]'" in " ".join(robust("train", "--help").out.split())
