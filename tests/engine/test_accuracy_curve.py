"""Robust accuracy at every eps against the per-case table, and against the truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from robust.auditing import audit
from robust.models import Classifier
from robust.records import Report
from robust.report.figures.accuracy import robust_accuracy_figures
from tests.engine.nets import phantoms as cases
from tests.engine.nets import trained


def run(model: nn.Module, attacks: list[str], out: Path | None = None) -> Report:
    return audit(
        Classifier(model, channels=1),
        cases(40),
        attacks=attacks,
        eps=["2/255"],
        doubts={"probe": False},
        device="cpu",
        gallery=0,
        out=out,
    )


def test_the_curve_is_that_of_the_table(tmp_path: Path) -> None:
    report = run(trained(28), ["FMN", "FGSM"], tmp_path / "run")
    (curve,) = report.accuracy_curves
    assert (curve.attacks, curve.norm) == (("FMN",), "Linf")
    table = pd.read_csv(tmp_path / "run" / "outcomes.csv")
    own = table[table.attack == "FMN"]
    nearest = np.where(own.success == 1, own.linf, np.inf)
    assert list(curve.eps) == sorted(curve.eps)
    assert curve.eps[0] == 0
    for eps, kept in zip(curve.eps, curve.robust_accuracy, strict=True):
        assert kept.value == pytest.approx(np.mean(nearest > eps + 1e-9), abs=1e-9)
        assert kept.cases == len(own)
    values = [kept.value for kept in curve.robust_accuracy]
    assert values == sorted(values, reverse=True)
    assert values[0] == 1
    assert any(
        figure.name == "robust-at-every-eps-linf" for figure in robust_accuracy_figures(report)
    )
    assert next(
        f for f in robust_accuracy_figures(report) if f.name.endswith("every-eps-linf")
    ).svg()


class _Bright(nn.Module):
    """Asks whether an image is brighter than a limit: the nearest other image is known exactly."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self.limit = limit

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        bright = 50 * (x.mean((1, 2, 3)) - self.limit)
        return torch.stack([-bright, bright], 1)


def test_the_curve_is_the_truth_where_that_is_known() -> None:
    """A pixel in [0, 1] moves by eps or to the end: the brightness reached within eps is known."""
    own = cases(40)
    x = torch.stack([case.image for case in own]).double()
    y = np.array([case.label for case in own])
    limit = float(x.mean((1, 2, 3)).median())
    report = run(_Bright(limit), ["MinimumNormEnsemble"])
    (curve,) = report.accuracy_curves
    bright = x.mean((1, 2, 3)).numpy() > limit
    right = bright == y
    for eps, kept in zip(curve.eps, curve.robust_accuracy, strict=True):
        # Just beside the points, where a case falls within the rounding of its distance.
        shares = []
        for size in (eps * 0.99, eps * 1.01):
            moved = torch.where(torch.tensor(bright).view(-1, 1, 1, 1), x - size, x + size)
            after = moved.clamp(0, 1).mean((1, 2, 3)).numpy() > limit
            shares.append(float(np.mean((after == bright)[right])))
        assert min(shares) - 1e-9 <= kept.value <= max(shares) + 1e-9


def test_without_a_minimum_norm_attack_there_is_no_curve() -> None:
    assert run(trained(28), ["FGSM"]).accuracy_curves == ()
