"""The pre-commit hook for plans, run by pre-commit itself in a stranger's repository."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.release.strangers import MANIFEST, ROOT, git, make_repository, run_hook, use_hook

(HOOK,) = yaml.safe_load((ROOT / MANIFEST).read_text(encoding="utf-8"))

real = pytest.mark.skipif(
    importlib.util.find_spec("pre_commit") is None or shutil.which("git") is None,
    reason="needs pre-commit and git",
)


@pytest.mark.parametrize(
    ("path", "is_plan"),
    [
        ("plan.toml", True),
        ("audits/plan.toml", True),
        ("chest-plan.toml", True),
        ("chest.plan.toml", True),
        ("plan_v2.toml", True),
        ("pyproject.toml", False),
        ("planets.toml", False),
        ("floorplan.toml", False),
        ("plans/recipe.toml", False),
    ],
)
def test_which_files_are_plans(path: str, is_plan: bool) -> None:
    assert bool(re.search(HOOK["files"], path)) == is_plan


@real
def test_the_manifest_is_one() -> None:
    command = [sys.executable, "-m", "pre_commit", "validate-manifest", MANIFEST]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@real
def test_a_commit_with_a_wrong_plan_is_stopped(tmp_path: Path) -> None:
    theirs = make_repository(tmp_path / "theirs")
    use_hook(theirs)
    right = run_hook(theirs)
    assert right.returncode == 0 and "Passed" in right.stdout, right.stdout + right.stderr
    plan = theirs / "plan.toml"
    plan.write_text(plan.read_text().replace("FGSM", "FGMS"))
    git(theirs, "add", "--all")
    wrong = run_hook(theirs)
    assert wrong.returncode == 1
    assert "robust: plan.toml: unknown attack 'FGMS'" in wrong.stdout
