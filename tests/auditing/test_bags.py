"""A whole audit of bags: as many fall to attacks on k instances as the closed form says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import robust
from attacks import PGD
from robust.models import Classifier
from robust.models.classifier import in_bags
from robust.records import Report
from tests.toys import Linear

TILE, COUNT, CASES = 8, 4, 12
LEVELS = 255


def instance() -> tuple[Classifier, torch.Tensor]:
    weight = torch.randn(1, TILE * TILE, generator=torch.Generator().manual_seed(0))
    linear = Linear(weight, -0.5 * weight.sum(1))
    network = Classifier(linear, mean=0.0, std=1.0, channels=1, head="softmax")
    return network, weight


def bags() -> np.ndarray:
    """Images of two by two instances, far from the ends of the box: `(n, h, w)` of 8 bits."""
    draws = np.random.default_rng(0)
    return draws.integers(90, 165, (CASES, 2 * TILE, 2 * TILE), dtype=np.uint8)


@pytest.mark.parametrize(
    ("most", "probe"),
    [(1, False), (3, False), pytest.param(2, True, marks=pytest.mark.slow)],
)
def test_robust_accuracy_is_that_of_the_closed_form(most: int, probe: bool, tmp_path: Path) -> None:
    one, weight = instance()
    x = torch.from_numpy(bags()).float()[:, None] / LEVELS
    model = in_bags(one, "mean", TILE).eval()
    with torch.no_grad():
        logits = model(x)
    y = logits.argmax(1)
    radius = COUNT * (logits[:, 1] - logits[:, 0]).abs() / (most * weight.abs().sum())
    ordered = radius.sort().values
    eps = float(ordered[CASES // 2 - 1 : CASES // 2 + 1].mean())
    assert eps < 0.3  # pixels are in [0.35, 0.65]
    expected = int((radius > eps).sum())
    assert expected == CASES // 2
    report = robust.audit(
        model,
        (bags(), y.numpy()),
        attacks=[PGD(steps=10, step_size=0.5, start="image")],
        eps=[eps],
        instances=most,
        tile=TILE,
        device="cpu",
        out=tmp_path / "run",
        gallery=0,
        doubts={"probe": probe},
    )
    (result,) = (row for row in report.rows if row.attack == "PGD")
    assert result.robust_accuracy.value == expected / CASES
    assert report.task.instances == most
    assert report.model.bag["pooling"] == "mean" and list(report.model.bag["tile"]) == [8, 8]
    kept = Report.from_json((tmp_path / "run" / "report.json").read_text())
    assert kept.model.bag == report.model.bag
