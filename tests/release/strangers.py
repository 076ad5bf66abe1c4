"""A stranger's repository, and the steps of the action carried out in it as GitHub does."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
MANIFEST = ".pre-commit-hooks.yaml"
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]

PLAN = """
[model]
factory = "network:build"
channels = 1

[data]
path = "phantom:chest_xray"
count = 12
pixels = 28

[audit]
eps = ["1/255"]

[[attacks]]
name = "FGSM"

[doubts]
probe = false
"""
NETWORK = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
"""


def make_repository(folder: Path, gates: str = "") -> Path:
    """A git repository with a network and a plan, and nothing of ours."""
    folder.mkdir()
    (folder / "network.py").write_text(NETWORK, encoding="utf-8")
    (folder / "plan.toml").write_text(PLAN + gates, encoding="utf-8")
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "A plan")
    return folder


def git(folder: Path, *arguments: str) -> None:
    """Run git as somebody."""
    who = ("-c", "user.name=A Stranger", "-c", "user.email=stranger@example.org")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def use_hook(repository: Path) -> None:
    """Let pre-commit take the hook from a repository that has nothing but it."""
    ours = repository.parent / f"{repository.name}-hooks"
    ours.mkdir()
    shutil.copy(ROOT / MANIFEST, ours)
    git(ours, "init", "--quiet")
    git(ours, "add", "--all")
    git(ours, "commit", "--quiet", "--message", "The hook")
    git(ours, "tag", "v1")
    (hook,) = yaml.safe_load((ours / MANIFEST).read_text(encoding="utf-8"))
    config = f"repos:\n  - repo: {ours}\n    rev: v1\n    hooks: [{{ id: {hook['id']} }}]\n"
    (repository / ".pre-commit-config.yaml").write_text(config)
    (repository / "pyproject.toml").write_text("[project]\nname = 'theirs'\n")
    git(repository, "add", "--all")


def run_hook(repository: Path, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    """Let pre-commit check all files, with the `robust` of that interpreter."""
    place = repository.parent
    return subprocess.run(
        [sys.executable, "-m", "pre_commit", "run", "--color=never", "--all-files"],
        cwd=repository,
        env=environment(place, python, PRE_COMMIT_HOME=str(place / "cache")),
        capture_output=True,
        text=True,
        check=False,
    )


def environment(folder: Path, python: str = sys.executable, **more: str) -> dict[str, str]:
    """Variables of a process in which `python` and `robust` are those of that interpreter."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    for name, command in (("python", f'"{python}"'), ("robust", f'"{python}" -m robust')):
        (programs / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (programs / name).chmod(0o755)
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("GITHUB_", "PYTHONPATH"))}
    own = {"PYTHONPATH": str(ROOT)} if python == sys.executable else {}
    return {**kept, **own, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", **more}


@dataclass(frozen=True)
class JobDone:
    """What the steps of a job left behind."""

    codes: dict[str, int]
    """Exit code of each step that ran, by its id."""
    text: str
    """What they printed."""
    outputs: dict[str, str]
    summary: str


def run_action(
    repository: Path,
    inputs: Mapping[str, str],
    *,
    skipped: tuple[str, ...] = (),
    python: str = sys.executable,
) -> JobDone:
    """Carry out the scripts of the action with bash, until one fails."""
    unknown = set(inputs) - set(ACTION["inputs"])
    assert not unknown, unknown
    values = {
        f"inputs.{name}": str(one.get("default", "")) for name, one in ACTION["inputs"].items()
    }
    values |= {f"inputs.{name}": value for name, value in inputs.items()}
    values["github.action_path"] = str(ROOT)
    place = repository.parent / f"{repository.name}-job"
    place.mkdir()
    codes: dict[str, int] = {}
    files = {"GITHUB_OUTPUT": place / "output", "GITHUB_STEP_SUMMARY": place / "summary"}
    for file in files.values():
        file.touch()
    printed = ""
    for step in STEPS:
        if "run" not in step or step["id"] in skipped:
            continue
        own = {name: filled(text, values) for name, text in step.get("env", {}).items()}
        own |= {name: str(file) for name, file in files.items()}
        script = place / f"{step['id']}.sh"
        script.write_text(step["run"], encoding="utf-8")
        bash = shutil.which(step["shell"])
        assert bash is not None
        done = subprocess.run(
            [bash, "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)],
            cwd=repository / filled(step.get("working-directory", "."), values),
            env=environment(place, python, **own),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        codes[step["id"]] = done.returncode
        printed += done.stdout
        if done.returncode:
            break
    lines = files["GITHUB_OUTPUT"].read_text("utf-8").splitlines()
    outputs = dict(line.split("=", 1) for line in lines)
    return JobDone(codes, printed, outputs, files["GITHUB_STEP_SUMMARY"].read_text("utf-8"))


def filled(text: str, values: Mapping[str, str]) -> str:
    """The text with each `${{ name }}` replaced; KeyError for a name that there is not."""
    return re.sub(r"\$\{\{ *([\w.-]+) *\}\}", lambda found: values[found[1]], str(text))
