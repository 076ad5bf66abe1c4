"""Attack success after storage: quantised, adversarially rounded, JPEG."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from attacks import PGD, ThreatModel
from robust.auditing import audit
from robust.cases.case import Case
from robust.cases.stored_pixels import Stored
from robust.engine.cells import Cell
from robust.engine.run_store import Outcome, SurvivalOutcome
from robust.models import Classifier
from robust.records import Report
from robust.storage.survival import StorageCheck, as_jpeg, is_measured
from robust.tasks.classification import Classification
from robust.tasks.contract import Batch
from tests.engine.nets import phantoms as cases
from tests.engine.nets import trained

EPS = ("0.25/255", "1/255", "1.5/255", "8/255")


def test_jpeg_is_done_at_quality_95_for_grey_and_colour() -> None:
    smooth = torch.linspace(0, 1, 32).view(1, 1, 1, 32).expand(2, 1, 32, 32)
    for x in (smooth, smooth.expand(2, 3, 32, 32)):
        back = as_jpeg(x)
        assert back.shape == x.shape
        assert 0 < float((back - x).abs().max()) < 0.02


def run(out: Path | None = None, **options: Any) -> Report:
    settings: dict[str, Any] = {
        "attacks": ["FGSM", "PGD"],
        "eps": list(EPS),
        "doubts": {"probe": False},
        "device": "cpu",
        "gallery": 0,
        "out": out,
    }
    return audit(Classifier(trained(28), channels=1), cases(), **{**settings, **options})


def test_the_report_tells_what_each_way_of_storing_leaves(tmp_path: Path) -> None:
    report = run(tmp_path / "run")
    worst = {row.eps: row for row in report.worst_cases}
    assert [one.eps for one in report.survival] == pytest.approx(
        [v / 255 for v in (0.25, 1, 1.5, 8)]
    )
    for one in report.survival:
        robust_accuracy = worst[one.eps].scores.robust_accuracy
        assert robust_accuracy is not None
        assert one.computed.value == pytest.approx(1 - robust_accuracy.value)
        assert one.quantised.value <= one.adversarially_rounded.value
        assert one.file_levels == 256
    small, whole, between, large = report.survival
    assert small.eps_levels == 0.25
    # Below one level a file of 8 bits holds the clean image.
    assert small.quantised.value == small.adversarially_rounded.value == 0
    assert whole.quantised.value == pytest.approx(whole.computed.value, abs=0.05)
    # Between two levels, the smaller one is all that a file can hold.
    assert between.adversarially_rounded.value <= between.computed.value
    assert large.quantised.value > 0.5
    assert small.jpeg_clean == large.jpeg_clean


def test_a_run_with_and_without_a_directory_says_the_same(tmp_path: Path) -> None:
    out = tmp_path / "run"
    here, there = run(), run(out)
    assert here.survival == there.survival == Report.load(out / "report.json").survival
    assert json.loads((out / "report.json").read_text())["survival"][0]["file_levels"] == 256


def test_other_norms_and_curves_are_left_alone() -> None:
    assert run(norm="L2", eps=[0.5]).survival == ()
    assert run(cells="curve").survival == ()


def test_images_of_two_channels_are_no_jpeg() -> None:
    own = Case("two", 0, "g", torch.rand(2, 8, 8).mul(255).round() / 255, {}, Stored(8))
    batch = Batch((0,), (own,), own.image[None], torch.tensor([0]), torch.zeros(1, 2))
    cell = Cell("PGD", PGD(), ThreatModel("Linf", 1 / 255), exact=True)
    assert is_measured(cell)
    outcome = Outcome(0, np.zeros(2), 0.0, 0.0, 0.0, 0.0, 0.0, False, False, 1.0)
    storing = StorageCheck(
        lambda x: torch.stack([x.mean((1, 2, 3)), -x.mean((1, 2, 3))], 1),
        Classification("error", ()),
    )
    (found,) = storing.observe(cell, batch, batch.x, [outcome])
    assert found == SurvivalOutcome(0, False, False, False, None, None, 1.0, 256)
