"""A sweep of 2 networks, 3 seeds and 3 training sets, killed at random and resumed, to the byte."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from robust.records.sweep import SWEEP, SweepReport

SWEEP_TOML = """
title = "Phantoms"

[recipe]
data = { path = "phantom:chest_xray", count = 120, pixels = 32 }
network = { architecture = "timm:resnet10t", pretrained = false, size = 32 }
training = { epochs = 2, batch = 16 }

[plan]
attacks = [{ name = "FGSM" }, { name = "PGD", steps = 10 }]
audit = { eps = ["1/255", "2/255"] }
report = { gallery = 0 }
doubts = { probe = false }

[[axes]]
name = "architecture"
values = ["timm:resnet10t", "torchvision:squeezenet1_1"]

[[axes]]
name = "seed"
values = [0, 1, 2]

[[axes]]
name = "train fraction"
values = [0.25, 0.5, 1.0]

[learning_curve]
wanted = { "clean accuracy" = 0.9 }
"""
MOST_SECONDS = 600.0
"""Of one sweep without a kill, on one thread."""


def command(folder: Path, out: str, *options: str) -> subprocess.Popen[bytes]:
    arguments = ["-m", "robust", "sweep", "sweep.toml", "--out", out, "--device", "cpu", *options]
    with (folder / f"{out}.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="kills by a signal")
def test_a_killed_sweep_ends_as_one_that_was_not(tmp_path: Path) -> None:
    (tmp_path / "sweep.toml").write_text(SWEEP_TOML, encoding="utf-8")
    began = time.monotonic()
    process = command(tmp_path, "whole")
    try:
        assert process.wait(MOST_SECONDS) == 0
    finally:
        process.kill()
    whole = time.monotonic() - began
    draw = random.Random(0)
    for _ in range(6):  # during training, during an audit, and between
        process = command(tmp_path, "killed")
        try:
            assert process.wait(draw.uniform(0.1, 0.3) * whole) == 0
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert command(tmp_path, "killed").wait() == 0
    one, other = ((tmp_path / out / SWEEP).read_bytes() for out in ("whole", "killed"))
    assert one == other
    report = SweepReport.load(tmp_path / "whole")
    assert len(report.finished) == 18
