"""Killed with -9 at random moments and started again, a run ends with the same report."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from detectors import Mahalanobis
from robust.auditing import audit
from robust.errors import InputError
from robust.records import Report
from tests.engine.nets import classifier, phantoms, trained

ATTACKS = ["Noise", "PGD"]


def run(out: Path, count: int = 40) -> Report:
    return audit(
        classifier(),
        phantoms(count),
        attacks=ATTACKS,
        eps=["2/255", "8/255"],
        detectors=["KernelDensity", Mahalanobis(step=0.002), "MaxSoftmax"],
        reference=phantoms(60, "train"),
        detection={"fit_eps": ["8/255"], "adaptive": 4, "adaptive_steps": 4},
        chunk=8,
        out=out,
        device="cpu",
    )


def found(folder: Path) -> tuple[dict[str, Any], bytes]:
    """The report without its timings, and the per-case table."""
    report = json.loads((folder / "report.json").read_text())
    del report["timings"]
    return report, (folder / "outcomes.csv").read_bytes()


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The folder of a run that nobody disturbed, and the seconds that it took."""
    out = tmp_path_factory.mktemp("calm") / "run"
    trained(28)  # once, before the clock runs
    began = time.perf_counter()
    run(out)
    return out, time.perf_counter() - began


@pytest.fixture
def copy(calm: tuple[Path, float], tmp_path: Path) -> Path:
    """A copy of that folder."""
    return Path(shutil.copytree(calm[0], tmp_path / "copy"))


@pytest.mark.slow
def test_ten_kills_change_nothing(calm: tuple[Path, float], tmp_path: Path) -> None:
    folder, seconds = calm
    rng = random.Random(0)
    killed = 0
    for _ in range(10):
        child = os.fork()
        if child == 0:
            try:
                torch.set_num_threads(1)
                run(tmp_path / "killed")
            finally:
                os._exit(0)
        time.sleep(rng.uniform(0.02, seconds / 6))
        os.kill(child, signal.SIGKILL)
        killed += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert killed >= 5, "the run ended before it could be killed"
    run(tmp_path / "killed")
    assert found(tmp_path / "killed") == found(folder)


def test_a_finished_run_is_not_run_again(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Report.load(copy / "report.json")

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("an attack ran again, or was judged again")

    monkeypatch.setattr("robust.engine.mixed_precision.attack_batch", forbidden)
    monkeypatch.setattr("robust.detection.evaluate.evaluate_transfer", forbidden)
    again = run(copy)
    assert again.rows == first.rows
    assert again.detection == first.detection
    assert again.table_sha256 == first.table_sha256


def test_a_run_directory_of_another_plan_is_refused(copy: Path) -> None:
    before = found(copy)
    with pytest.raises(InputError, match=r"belongs to another run: its plan differs"):
        audit(classifier(), phantoms(40), attacks=["FGSM"], out=copy)
    with pytest.raises(InputError, match="its data differs"):
        run(copy, count=38)
    assert found(copy) == before


@pytest.mark.slow
def test_the_command_survives_kills_too(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "robust", "demo", "--count", "40", "--out"]
    subprocess.run([*command, "demo"], cwd=tmp_path, check=True, capture_output=True)
    calm = found(tmp_path / "demo" / "run")
    (tmp_path / "demo").rename(tmp_path / "calm")
    rng = random.Random(1)
    for _ in range(4):
        process = subprocess.Popen(
            [*command, "demo"], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(rng.uniform(2, 20))
        process.kill()
        process.wait()
    subprocess.run([*command, "demo"], cwd=tmp_path, check=True, capture_output=True)
    assert found(tmp_path / "demo" / "run") == calm
