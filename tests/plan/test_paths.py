"""Bad paths are refused before torch is imported, by every command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from robust.errors import InputError
from robust.plan.code import ROOT
from robust.plan.load import make_plan
from robust.plan.paths import check_paths, require_new, require_run, require_writable

COMMANDS = (
    ("audit", "nothing.toml"),
    ("audit", "--architecture", "resnet18", "--weights", "no.pth", "--data", "."),
    ("audit", "--folder", "nowhere", "--data", "."),
    ("audit", "--file", "no.pt", "--data", "."),
    ("audit", "good.toml", "--data", "nowhere"),
    ("audit", "good.toml", "--out", "good.toml"),
    ("audit", "good.toml", "--out", "good.toml/run"),
    ("attack", "good.toml", "--out", "full"),
    ("fit-detector", "good.toml", "--detector", "LID", "--out", "full"),
    ("screen", "nowhere", "."),
    ("train", "--architecture", "resnet18", "--data", "nowhere"),
    ("report", "nowhere"),
    ("compare", "nowhere", "full"),
    ("demo", "--out", "good.toml"),
    ("list", "data"),
)
CODE = f"""
import sys
from robust.cli import app as cli
for arguments in {COMMANDS!r}:
    sys.argv = ["robust", *arguments]
    try:
        cli.main()
    except SystemExit as end:
        assert end.code == (0 if arguments[0] == "list" else 2), arguments
    assert "torch" not in sys.modules, arguments
sys.argv = ["robust", "list", "attacks"]
try:
    cli.main()
except SystemExit as end:
    assert not end.code
import robust.auditing, robust.guard
print(sorted({{"torchvision", "sklearn", "timm"}} & set(sys.modules)))
"""


def test_no_import_comes_before_its_use(tmp_path: Path) -> None:
    """Neither torch before the paths of a command are there, nor a large library with an audit.

    And the command line takes its own packages, whatever is beside it.
    """
    (tmp_path / "attacks").mkdir()
    (tmp_path / "attacks" / "__init__.py").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    plan = '[model]\nfactory = "robust.demo:network"\n[data]\npath = "phantom:fundus"\n'
    (tmp_path / "good.toml").write_text(plan + "[gates]\nrobust_accuracy = 0.5\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    errors = done.stderr.splitlines()
    assert len(errors) == len(COMMANDS) - 1 and all(e.startswith("robust: ") for e in errors)
    assert "Auto-PGD" in done.stdout and done.stdout.splitlines()[-1] == "[]"


def test_the_surrogate_is_looked_for_too(tmp_path: Path) -> None:
    other = {"architecture": "resnet18", "weights": str(tmp_path / "no.pth")}
    plan = make_plan({"data": {"path": "phantom:fundus"}, "scenarios": {"surrogate": other}})
    with pytest.raises(InputError, match=r"no such weights file: .*no\.pth"):
        check_paths(plan)
    with pytest.raises(InputError, match=r"'lung'; did you mean lungs\? there are: chest_xray"):
        check_paths(make_plan({"data": {"path": "phantom:lung"}}))


def test_folders_to_write_to_and_runs_to_read(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    require_writable(tmp_path / "a" / "b")
    require_new(tmp_path / "new")
    with pytest.raises(InputError, match="exists and is not empty; name a new folder for x"):
        require_new(tmp_path, " for x")
    with pytest.raises(InputError, match="a part of its path is a file"):
        require_writable(tmp_path / "file" / "run")
    with pytest.raises(InputError, match=r"no report at .*report\.json"):
        require_run(tmp_path)
    (tmp_path / "outcomes.sqlite").touch()
    require_run(tmp_path)
