"""Schemas for editors: they take every file that the checks take, and refuse a wrong key."""

from __future__ import annotations

import json
import shutil
import subprocess
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from robust.plan.spec import Plan
from robust.plan.toml_schema import toml_schema
from robust.sweeps.spec import SweepSpec
from robust.training.recipe import FOLDER, Recipe
from tests.docs.pages import ROOT, blocks

jsonschema = pytest.importorskip("jsonschema")

SCHEMAS: dict[str, type[BaseModel]] = {"plan": Plan, "recipe": Recipe, "sweep": SweepSpec}
EXPERIMENTS = ROOT / "experiments"
PLANS = [*EXPERIMENTS.glob("*/*.toml")]
SWEEPS = [*EXPERIMENTS.glob("*/sweeps/*.toml")]
RECIPES = [*FOLDER.glob("*.toml")]
FILES = {"plan": PLANS, "recipe": RECIPES, "sweep": SWEEPS}


@cache
def checker(kind: str) -> Any:
    return jsonschema.Draft4Validator(toml_schema(SCHEMAS[kind], kind))


@pytest.mark.parametrize("kind", SCHEMAS)
def test_it_is_a_schema_of_draft_4_with_a_description_of_every_field(kind: str) -> None:
    schema = toml_schema(SCHEMAS[kind], kind)
    jsonschema.Draft4Validator.check_schema(schema)
    tables = [schema, *(part for part in schema["definitions"].values() if part)]
    assert len(tables) > 2
    for table in tables:
        assert table.get("description"), table
        for name, field in table.get("properties", {}).items():
            assert field.get("description"), name
    text = json.dumps(schema)
    assert '"null"' not in text and "$defs" not in text and "prefixItems" not in text


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_plans_of_the_repository_are_valid(path: Path) -> None:
    checker("plan").validate(tomllib.loads(path.read_text(encoding="utf-8")))


def test_plans_of_the_site_are_valid() -> None:
    pages = ("sweeps.md", "training.md", "ranking.md")
    found = [b for b in blocks("toml") if not b.page.endswith(pages)]
    assert len(found) > 20
    for block in found:
        errors = [error.message for error in checker("plan").iter_errors(tomllib.loads(block.text))]
        assert not errors, (str(block), errors)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_are_valid(path: Path) -> None:
    checker("recipe").validate(tomllib.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_sweeps_are_valid(path: Path) -> None:
    checker("sweep").validate(tomllib.loads(path.read_text(encoding="utf-8")))


def test_there_is_something_to_check() -> None:
    assert len(PLANS) > 5 and len(RECIPES) > 5 and len(SWEEPS) > 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[audit]\nepss = 1", "epss"),
        ("[audit]\nnorm = 'L3'", "L3"),
        ("[audit]\nthreshold = 1.0", "maximum"),
        ("[audit]\nchunk = 0", "minimum"),
        ("[gates]\nrobust_accuracy = {'1/255' = 2}", "not valid"),
        ("[gates]\nno_flags = ['few grups']", "not valid"),
        ("[data]\nsplit = 'test'", "'path' is a required property"),
        ("[[attacks]]\nsteps = 40", "'name' is a required property"),
        ("[audit]\nbox = [0, 1, 1]", "too short"),
        ("attack = 'PGD'", "attack"),
    ],
)
def test_a_wrong_plan_is_refused(text: str, said: str) -> None:
    errors = [error.message for error in checker("plan").iter_errors(tomllib.loads(text))]
    assert len(errors) == 1 and said in errors[0], errors


@pytest.mark.parametrize(
    "text",
    [
        "[audit]\neps = ['1/255', 0.01, 1]",
        "[data]\npath = 'x'\ntable = 'a.csv'\npositive = 1",
        "[data]\npath = 'x'\ntable = ['a.csv']\npositive = ['1', 2]",
        "[gates]\nno_flags = true\nrobust_accuracy = 0.5",
        "[gates]\nno_flags = ['few groups']\nrobust_accuracy = {'1/255' = 0.5, 'L2 0.5' = 0.4}",
        "[model]\narchitecture = 'resnet18'\ncrop_pct = '224/256'\nsize = [3, 4]\nstd = [1, 2, 3]",
        "[[attacks]]\nname = 'PGD'\nsteps = 40\neps = ['1/255']",
    ],
)
def test_all_that_the_check_takes_in_several_forms_is_valid(text: str) -> None:
    raw = tomllib.loads(text)
    Plan.model_validate(raw)
    checker("plan").validate(raw)


# --- Taplo itself: `npm install -g @taplo/cli` ---

TAPLO = shutil.which("taplo")


def taplo(folder: Path, *files: str) -> subprocess.CompletedProcess[str]:
    """What the language server of editors says of files in a folder, from the folder above it."""
    if TAPLO is None:
        pytest.skip("needs Taplo (npm install -g @taplo/cli)")
    command = [TAPLO, "check", "--colors", "never", *(f"{folder.name}/{name}" for name in files)]
    return subprocess.run(command, cwd=folder.parent, capture_output=True, text=True, check=False)


def write_schema(folder: Path, kind: str) -> str:
    """The schema of a kind of file, and the line that docs/plan.md puts at the top of one."""
    text = json.dumps(toml_schema(SCHEMAS[kind], kind))
    (folder / f"{kind}.schema.json").write_text(text, encoding="utf-8")
    (line,) = {b.text.splitlines()[0] for b in blocks("toml") if b.text.startswith("#:schema")}
    return line.replace("plan", kind)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SCHEMAS)
def test_taplo_takes_what_is_right_and_marks_what_is_wrong(kind: str, tmp_path: Path) -> None:
    line = write_schema(tmp_path, kind)
    texts = [p.read_text(encoding="utf-8") for p in FILES[kind]]
    if kind == "plan":
        others = ("sweeps.md", "training.md", "ranking.md")
        texts += [b.text for b in blocks("toml") if not b.page.endswith(others)]
    names = [f"{number}.toml" for number in range(len(texts))]
    for name, text in zip(names, texts, strict=True):
        (tmp_path / name).write_text(f"{line}\n{text}", encoding="utf-8")
    right = taplo(tmp_path, *names)
    assert right.returncode == 0, right.stderr
    assert f"total={len(names)}" in right.stderr
    (tmp_path / "wrong.toml").write_text(f"{line}\n{texts[0]}\n[nonsense]\na = 1\n", "utf-8")
    wrong = taplo(tmp_path, "wrong.toml")
    assert wrong.returncode == 1 and "nonsense" in wrong.stderr
