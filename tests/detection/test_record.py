"""Noise of the right size is recorded beside attacks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from attacks import ThreatModel
from robust.detection import record
from robust.detection.detection_run import DetectionRun
from robust.tasks.contract import Batch
from tests.detection.runs import NEAREST, lines, run


def test_noise_beside_an_attack_without_a_bound_goes_as_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    met: dict[str, float] = {}
    plain = record.noisy

    def spy(run: DetectionRun, batch: Batch, threat: ThreatModel) -> torch.Tensor:
        drawn = plain(run, batch, threat)
        for case, x, y in zip(batch.cases, drawn, batch.x, strict=True):
            met[case.id] = float((x - y).double().norm())
        return drawn

    monkeypatch.setattr(record, "noisy", spy)
    report = run(50, out=tmp_path, attacks=[NEAREST], detectors=["MaxSoftmax"])
    assert report.detection is not None
    far = {r["case"]: float(r["l2"]) for r in lines(tmp_path) if r["attack"] == "CarliniWagnerL2"}
    hit = {r["case"] for r in lines(tmp_path) if r["success"] == "1"}
    assert set(met) == hit and hit
    # A ball: no further than the attack, and in so many dimensions nearly as far; the box may cut.
    assert all(met[i] <= far[i] * 1.001 for i in hit)
    assert np.median([met[i] / far[i] for i in hit]) > 0.8
