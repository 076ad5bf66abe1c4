"""Attack success after storage: quantised, adversarially rounded, JPEG."""

from __future__ import annotations

import json
from dataclasses import replace
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
from robust.storage import survival
from robust.storage.rounding import SHARES
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


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    out = tmp_path_factory.mktemp("survival") / "run"
    return run(out), out


def test_the_report_tells_what_each_way_of_storing_leaves(stored: tuple[Report, Path]) -> None:
    report, _ = stored
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


def test_a_run_with_and_without_a_directory_says_the_same(stored: tuple[Report, Path]) -> None:
    (there, out), here = stored, run()
    assert here.survival == there.survival == Report.load(out / "report.json").survival
    assert json.loads((out / "report.json").read_text())["survival"][0]["file_levels"] == 256


def test_other_norms_and_curves_are_left_alone() -> None:
    assert run(norm="L2", eps=[0.5], attacks=["FGSM"]).survival == ()
    assert run(cells="curve", attacks=["PGD"], eps=["1/255", "8/255"]).survival == ()


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


def test_the_network_is_asked_only_where_the_answer_is_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three cells on one batch: passes for changed images, and JPEG of the clean ones once."""
    model, own = trained(28).eval(), list(cases(8))
    x, y = torch.stack([one.image for one in own]), torch.tensor([one.label for one in own])
    batch = Batch(tuple(range(8)), tuple(own), x, y, torch.zeros(8, 2))
    asked: list[int] = []
    saved: list[int] = []

    def counted(z: torch.Tensor) -> torch.Tensor:
        asked.append(len(z))
        logits: torch.Tensor = model(z)
        return logits

    def jpeg(z: torch.Tensor) -> torch.Tensor:
        saved.append(len(z))
        return as_jpeg(z)

    monkeypatch.setattr(survival, "as_jpeg", jpeg)
    check = StorageCheck(counted, Classification("error", ()))
    fell = [Outcome(i, np.zeros(2), 0.0, 0.0, 0.0, 0.0, 0.0, True, False, 1.0) for i in range(8)]

    def observe(eps: float, x_adv: torch.Tensor) -> list[SurvivalOutcome]:
        return check.observe(Cell("PGD", PGD(), ThreatModel("Linf", eps), True), batch, x_adv, fell)

    with torch.no_grad():
        misread = [(model(z).argmax(1) != y).tolist() for z in (x, as_jpeg(x))]
    # Less than half a level: as a file and as a JPEG each image is the clean one.
    found = observe(0.3 / 255, x + 0.3 / 255)
    assert [[one.quantised for one in found], [one.jpeg for one in found]] == misread
    assert [one.adversarially_rounded for one in found] == misread[0]
    assert (asked, saved) == ([8, 8], [8])
    asked.clear()
    saved.clear()
    assert observe(0.4 / 255, x - 0.4 / 255) == [
        replace(one, eps_levels=float(np.float32(0.4))) for one in found
    ]
    assert (asked, saved) == ([], [])
    # Only the two that a level moves are asked about, beside the search for a better rounding.
    x_adv = x.clone()
    x_adv[[2, 5]] = (x[[2, 5]] + 1 / 255).clamp(0, 1)
    observe(1 / 255, x_adv)
    assert asked[0] == 2 and saved == [2]


def test_a_misreading_by_luck_does_not_end_the_search_for_a_rounding() -> None:
    """Where outputs are random, every round is made."""
    own = Case("one", 0, "g", torch.full((1, 8, 8), 0.5).mul(255).round() / 255, {}, Stored(8))
    batch = Batch((0,), (own,), own.image[None], torch.tensor([0]), torch.zeros(1, 2))
    cell = Cell("PGD", PGD(), ThreatModel("Linf", 1 / 255), exact=True)
    fell = [Outcome(0, np.zeros(2), 0.0, 0.0, 0.0, 0.0, 0.0, True, False, 1.0)]
    limit = float(own.image.mean()) + 0.5 / 255
    for random in (False, True):
        asked: list[int] = []

        def model(z: torch.Tensor, asked: list[int] = asked) -> torch.Tensor:
            asked.append(len(z))
            value = 255 * (z.mean((1, 2, 3)) - limit)
            return torch.stack([-value, value], 1)

        (found,) = StorageCheck(model, Classification("error", ()), random=random).observe(
            cell, batch, batch.x, fell
        )
        assert (found.quantised, found.adversarially_rounded) == (False, True)
        rounds = len(SHARES) if random else 1
        # The clean image and its JPEG, the gradient, the rounds, and what they found.
        assert len(asked) == 2 + 1 + rounds + 1
