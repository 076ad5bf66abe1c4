"""What is left of attacks in files: within eps, no more than the levels allow, never made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from attacks import PGD, ThreatModel
from robust.auditing import audit
from robust.cases.case import Case
from robust.cases.stored_pixels import Stored, Window
from robust.engine.batch import Batch
from robust.engine.cells import Cell
from robust.engine.goal import Goal
from robust.engine.run_store import Outcome
from robust.models import Classifier
from robust.records import Report
from robust.storage.rounding import StoredBatch, adversarial_rounding
from robust.storage.survival import StorageCheck, as_jpeg, is_quantised
from tests.engine.nets import trained
from tests.engine.test_detection import cases

WINDOWED = Stored(12, view=Window(2048, 1000))
EPS = ("0.25/255", "1/255", "1.5/255", "8/255")


def case(stored: Stored, seed: int = 0) -> Case:
    """An image of whole levels, over the whole stored range."""
    drawn = np.random.default_rng(seed)
    pixels = stored.cast(drawn.integers(0, stored.levels + 1, (8, 8)) + stored.low)
    return Case(f"case {seed}", 0, f"g{seed}", stored.image(pixels), {}, stored)


@pytest.mark.parametrize("stored", [Stored(8), Stored(12), Stored(16), WINDOWED])
@pytest.mark.parametrize("levels", [0.4, 1.0, 1.7, 5.0])
def test_a_file_holds_what_is_nearest_and_within_eps(stored: Stored, levels: float) -> None:
    own, eps = [case(stored, seed) for seed in range(3)], levels * stored.step
    x = torch.stack([one.image for one in own])
    x_adv = (
        x + eps * torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).sign()
    ).clamp(0, 1)
    shelf = StoredBatch.of(own, eps)
    kept = shelf.put(x_adv)
    assert float((kept - x).abs().max()) <= eps + 2e-7
    assert torch.equal(shelf.put(kept), kept)
    assert torch.equal(shelf.put(x), x)
    if levels < 1 and stored.plain:
        assert torch.equal(kept, x)
    if levels >= 1:
        assert not torch.equal(kept, x)


class _Linear:
    """Calls an image 1 where its weighted sum exceeds a limit."""

    def __init__(self, weights: Tensor, limit: Tensor) -> None:
        self.weights, self.limit = weights, limit

    def __call__(self, x: Tensor) -> Tensor:
        value = x.flatten(1) @ self.weights - self.limit
        return torch.stack([-value, value], 1)


def test_knowing_rounding_finds_the_best_corner_of_a_linear_model() -> None:
    """One level is allowed: each pixel at the end that the weights ask for, or inside the box."""
    stored = Stored(8)
    own = [case(stored, seed) for seed in range(4)]
    x = torch.stack([one.image for one in own])
    weights = torch.randn(64, generator=torch.Generator().manual_seed(1))
    model = _Linear(weights, torch.tensor(0.0))
    y = torch.zeros(4, dtype=torch.long)
    found = adversarial_rounding(model, StoredBatch.of(own, 1 / 255), x, y, None)
    best = (x + weights.sign().view(1, 1, 8, 8) / 255).clamp(0, 1)
    assert torch.allclose(found, best, atol=1e-6)


def test_knowing_rounding_never_does_worse_and_stays_in_the_file() -> None:
    model = trained(28)
    own = list(cases(12))
    x = torch.stack([one.image for one in own])
    y = torch.tensor([one.label for one in own])
    shelf = StoredBatch.of(own, 2 / 255)
    found = adversarial_rounding(model, shelf, x, y, None)
    ahead = [
        (model(z).gather(1, 1 - y[:, None]) - model(z).gather(1, y[:, None])) for z in (x, found)
    ]
    assert bool((ahead[1] >= ahead[0]).all())
    assert torch.equal(shelf.put(found), found)
    assert float((found - x).abs().max()) <= 2 / 255 + 2e-7


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
    assert json.loads((out / "report.json").read_text())["survival"][0]["of"] == 256


def test_other_norms_and_curves_are_left_alone() -> None:
    assert run(norm="L2", eps=[0.5]).survival == ()
    assert run(cells="curve").survival == ()


def test_images_of_two_channels_are_no_jpeg() -> None:
    own = Case("two", 0, "g", torch.rand(2, 8, 8).mul(255).round() / 255, {}, Stored(8))
    batch = Batch((0,), (own,), own.image[None], torch.tensor([0]), torch.zeros(1, 2))
    cell = Cell("PGD", PGD(), ThreatModel("Linf", 1 / 255), exact=True)
    assert is_quantised(cell)
    outcome = Outcome(0, np.zeros(2), 0.0, 0.0, False, False, 1.0)
    storing = StorageCheck(
        lambda x: torch.stack([x.mean((1, 2, 3)), -x.mean((1, 2, 3))], 1), Goal("error", ())
    )
    ((_, row, values),) = storing.see(cell, batch, batch.x, [outcome])
    assert row == 0
    assert values.tolist()[:5] == [0] * 5
    assert values[7] == 2
