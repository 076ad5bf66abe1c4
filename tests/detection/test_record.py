"""Which images of a run are recorded: successes alone, every control, noise of the right size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from attacks import ThreatModel
from robust.detection import record
from robust.detection.benign_changes import BENIGN_CHANGES
from robust.detection.detection_run import DetectionRun
from robust.detection.feature_log import CLEAN, REFERENCE
from robust.engine.run_store import RunStore
from robust.records import Detection
from robust.tasks.contract import Batch
from tests.detection.runs import NEAREST, cases, lines, run


def test_what_is_kept_is_the_successes_and_every_control(folder: Path, found: Detection) -> None:
    store = RunStore.open_to_read(folder)
    right = [
        c.row
        for c in store.clean()
        if c.kept is not None and int(c.kept.argmax()) == cases().entries[c.row].label
    ]
    kinds = {kind: [s for s in found.image_sets if s.kind == kind] for kind in ("noise", "change")}
    assert store.features(CLEAN)[0] == right
    assert [s.name for s in kinds["change"]] == list(BENIGN_CHANGES)
    # Beside each eps, and beside the attack without a bound.
    assert [s.eps for s in kinds["noise"]] == [2 / 255, 8 / 255, None]
    assert {s.cases for s in kinds["change"]} == {len(right)}
    for key in ("PGD|Linf|0.03137254901960784", "CarliniWagnerL2|L2|inf"):
        hit = [o.row for o in store.outcomes(key) if o.success]
        assert store.features(key)[0] == hit
    width = store.features(CLEAN)[1].shape[1]
    assert width == store.features(REFERENCE)[1].shape[1] == 2 + 8 + 16 + 784
    store.close()


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
    report = run(out=tmp_path, attacks=[NEAREST], detectors=["MaxSoftmax"])
    assert report.detection is not None
    far = {r["case"]: float(r["l2"]) for r in lines(tmp_path) if r["attack"] == "CarliniWagnerL2"}
    hit = {r["case"] for r in lines(tmp_path) if r["success"] == "1"}
    assert set(met) == hit and hit
    # A ball: no further than the attack, and in so many dimensions nearly as far; the box may cut.
    assert all(met[i] <= far[i] * 1.001 for i in hit)
    assert np.median([met[i] / far[i] for i in hit]) > 0.8
