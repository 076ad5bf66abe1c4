"""Killed with -9 at random moments and started again, a run ends with the same report."""

from __future__ import annotations

import json
import os
import random
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
from robust.cases import open_cases
from robust.errors import InputError
from robust.models import Classifier
from robust.records import Report
from tests.engine.nets import trained

ATTACKS = ["Noise", "FGSM", "PGD", "CW"]


def run(out: Path, count: int = 48) -> Report:
    cases = open_cases("phantom:chest_xray", count=count, pixels=28)
    return audit(
        Classifier(trained(28), channels=1),
        cases,
        attacks=ATTACKS,
        eps=["2/255", "8/255"],
        detectors=["KernelDensity", Mahalanobis(step=0.002), "MaxSoftmax"],
        reference=open_cases("phantom:chest_xray", split="train", count=60, pixels=28),
        detection={"fit_eps": ["8/255"], "adaptive": 8, "adaptive_steps": 8},
        chunk=8,
        out=out,
        device="cpu",
    )


def found(folder: Path) -> tuple[dict[str, Any], bytes]:
    """The report without its timings, and the per-case table."""
    report = json.loads((folder / "report.json").read_text())
    del report["timings"]
    return report, (folder / "outcomes.csv").read_bytes()


def test_ten_kills_change_nothing(tmp_path: Path) -> None:
    trained(28)  # once, before the clock runs
    began = time.perf_counter()
    run(tmp_path / "calm")
    seconds = time.perf_counter() - began

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
    assert found(tmp_path / "killed") == found(tmp_path / "calm")


def test_a_finished_run_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(tmp_path)

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("an attack ran again, or was judged again")

    monkeypatch.setattr("robust.engine.mixed_precision.attack_batch", forbidden)
    monkeypatch.setattr("robust.detection.evaluate.judge", forbidden)
    again = run(tmp_path)
    assert again.results == first.results
    assert again.detection == first.detection
    assert again.table_sha256 == first.table_sha256


def test_a_run_directory_of_another_plan_is_refused(tmp_path: Path) -> None:
    run(tmp_path)
    before = found(tmp_path)
    cases = open_cases("phantom:chest_xray", count=48, pixels=28)
    with pytest.raises(InputError, match=r"belongs to another run: its plan differs"):
        audit(Classifier(trained(28), channels=1), cases, attacks=["FGSM"], out=tmp_path)
    with pytest.raises(InputError, match="its data differs"):
        run(tmp_path, count=46)
    assert found(tmp_path) == before


@pytest.mark.slow
def test_the_command_survives_kills_too(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "robust.cli.main", "demo", "--count", "40", "--out"]
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
