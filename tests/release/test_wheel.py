"""Wheel and sdist: what they hold, and that they work outside the checkout."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path

import pytest

from tests.release import fresh
from tests.release.strangers import make_repository, run_action, run_hook, use_hook

ROOT = fresh.ROOT
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SITE = sysconfig.get_path("purelib")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(importlib.util.find_spec(name) for name in ("build", "hatchling")),
        reason="needs build and hatchling",
    ),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """The wheel, made from the sdist, and the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    yield wheel, sdist


def test_the_wheel_holds_the_packages_with_their_data_and_nothing_else(
    built: tuple[Path, Path],
) -> None:
    names = set(zipfile.ZipFile(built[0]).namelist())
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "robust",
        "attacks",
        "detectors",
    }
    tracked = subprocess.run(
        ["git", "ls-files", "robust", "attacks", "detectors"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    assert set(tracked) <= names
    assert {f"{top}/py.typed" for top in ("robust", "attacks", "detectors")} <= names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_its_metadata_are_those_of_the_project(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[0]) as wheel:
        (name,) = [n for n in wheel.namelist() if n.endswith(".dist-info/METADATA")]
        told = HeaderParser().parsestr(wheel.read(name).decode("utf-8"))
    assert (told["Version"], told["License-Expression"]) == (PROJECT["version"], "Apache-2.0")
    assert told["Requires-Python"] == PROJECT["requires-python"]
    assert set(told.get_all("Provides-Extra") or ()) == set(PROJECT["optional-dependencies"])


def test_the_sdist_holds_the_tests_and_the_docs_and_no_leftovers(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[1]) as sdist:
        names = {member.name.split("/", 1)[-1] for member in sdist.getmembers()}
    wanted = {"pyproject.toml", "LICENSE", "README.md", "CHANGELOG.md", "action.yml", "Dockerfile"}
    assert wanted <= names
    assert {"tests/release/test_wheel.py", "docs/start.md", "robust/recipes/lungs.toml"} <= names
    assert not [
        name for name in names if "__pycache__" in name or name.startswith(("dist", ".venv"))
    ]


@pytest.mark.parametrize("which", [0, 1], ids=["wheel", "sdist"])
def test_it_runs_the_demonstration_in_an_environment_of_its_own(
    which: int, built: tuple[Path, Path], tmp_path: Path
) -> None:
    python = fresh.make_environment(tmp_path / "env", SITE)
    fresh.install(python, built[which], SITE)
    for package in ("robust", "attacks", "detectors"):
        assert (tmp_path / "env") in fresh.home(python, package, tmp_path).parents
    assert fresh.run(python, tmp_path, "--version").stdout == f"robust {PROJECT['version']}\n"
    done = fresh.run(python, tmp_path, *fresh.DEMO)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "demo-report" / "run" / "report.html").stat().st_size > 10_000


def test_a_stranger_uses_the_action_and_the_hook_with_the_wheel(
    built: tuple[Path, Path], tmp_path: Path
) -> None:
    """All steps of the action, that of the installation too, in an environment of its own."""
    python = fresh.make_environment(tmp_path / "env", SITE)
    gates = '\n[gates]\nrobust_accuracy = { "1/255" = 0.99 }\n'
    theirs = make_repository(tmp_path / "theirs", gates)
    inputs = {"plan": "plan.toml", "version": str(built[0]), "torch": "none", "extras": "onnx"}
    done = run_action(theirs, inputs, python=str(python))
    assert done.codes == {"install": 0, "check": 0, "audit": 1}, done.text
    assert "Gates: 1 of 1 not passed" in done.summary
    assert (tmp_path / "env") in fresh.home(python, "robust", theirs).parents
    use_hook(theirs)
    right = run_hook(theirs, str(python))
    assert right.returncode == 0 and "Passed" in right.stdout, right.stdout + right.stderr
