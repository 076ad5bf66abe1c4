"""Rotation and shift in an audit: models whose weakness is known, the count, and resuming."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from attacks.spatial import SpatialGrid, turned_and_shifted
from robust.auditing import audit
from robust.errors import InputError
from robust.models import Classifier
from robust.records import Report, Scenario
from robust.scenarios import spatial as tried

SIDE = 12


class Mean(nn.Module):
    """The mean of the image: invariant to turns that lose no pixel."""

    def forward(self, x: Tensor) -> Tensor:
        z = x.mean((1, 2, 3))[:, None] - 0.5
        return torch.cat([-z, z], 1)


class Corner(nn.Module):
    """One pixel, which a bright spot leaves where the image is turned by 20 degrees or more."""

    seen = 0

    def forward(self, x: Tensor) -> Tensor:
        Corner.seen += len(x)
        z = x[:, 0, 1, SIDE // 2, None] - 0.2
        return torch.cat([-z, z], 1)


def cases(model: str) -> tuple[Any, Any]:
    x = np.zeros((24, SIDE, SIDE), np.float32)
    if model == "mean":
        levels = np.linspace(0, 1, 24)
        x += np.where(np.abs(levels - 0.5) < 0.1, 0.8, levels)[:, None, None]
        rng = np.random.default_rng(0)
        x = np.clip(x + 0.01 * rng.standard_normal(x.shape), 0, 1).astype(np.float32)
        return x, (x.mean((1, 2)) > 0.5).astype(int)
    x[::2, 1, SIDE // 2] = 1.0
    return x, (x[:, 1, SIDE // 2] > 0.2).astype(int)


def run(network: nn.Module, model: str, grid: dict[str, Any], **options: Any) -> Scenario:
    report = audit(
        Classifier(network, channels=1, head="softmax"),
        *(cases(model),),
        attacks=["Noise"],
        eps=["1/255"],
        scenarios={"spatial": grid},
        doubts={"probe": False},
        gallery=0,
        **options,
    )
    assert isinstance(report, Report)
    (found,) = report.scenarios
    return found


def test_quarter_turns_change_no_mean() -> None:
    found = run(Mean(), "mean", {"rotation": 90, "shift": 0, "angles": 3})
    assert found.fooled.value == 0.0 and found.fooled.cases == 24
    assert (found.name, found.budget, found.size, found.shift) == ("spatial", 75, 90, 0)
    dark = run(Mean(), "mean", {"rotation": 0, "shift": 0.5, "angles": 1, "shifts": 3})
    assert 0 < dark.fooled.value < 1, "a shift brings black in"


def test_the_angle_that_is_known_is_found_and_the_moves_are_counted() -> None:
    """The spot leaves its pixel beyond some angle: dark images resist every move of the grid."""
    images = torch.from_numpy(cases("corner")[0])[:1, None]
    angles = torch.arange(31.0)
    moves = torch.stack([angles, 0 * angles, 0 * angles], 1)
    seen = turned_and_shifted(images.expand(31, -1, -1, -1), moves)[:, 0, 1, SIDE // 2]
    first = int((seen <= 0.2).nonzero()[0])
    assert 0 < first < 30
    still = {"shift": 0.0, "shifts": 1}
    below = run(Corner(), "corner", {"rotation": first - 1, "angles": 2 * first - 1, **still})
    assert below.fooled.value == 0.0
    Corner.seen = 0
    above = run(Corner(), "corner", {"rotation": first, "angles": 2 * first + 1, **still})
    assert above.fooled.value == pytest.approx(0.5)
    assert above.control.value < above.fooled.value
    # Bright images end at their angle or its opposite, dark ones see the whole grid.
    grid = 2 * first + 1
    assert 12 * grid <= Corner.seen <= 24 * grid + 24 * 40


def test_a_cut_run_goes_on_chunk_by_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = {"rotation": 30, "angles": 3, "shifts": 1}
    whole = run(Corner(), "corner", grid, out=tmp_path / "whole")
    monkeypatch.setattr("robust.scenarios.holdout.BATCH_SIZE", 8)
    calls, real = [0], tried._try

    def cut(*arguments: Any) -> Any:
        calls[0] += 1
        if calls[0] == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(tried, "_try", cut)
    with pytest.raises(KeyboardInterrupt):
        run(Corner(), "corner", grid, out=tmp_path / "cut")
    found = run(Corner(), "corner", grid, out=tmp_path / "cut")
    assert calls[0] == 4 and found == whole


def test_what_makes_no_sense_is_one_line() -> None:
    for wrong, says in (
        ({"rotation": 200}, "rotation"),
        ({"shift": 1}, "shift"),
        ({"turn": 3}, "turn"),
    ):
        with pytest.raises(InputError, match=says) as raised:
            run(Mean(), "mean", wrong)
        assert "\n" not in str(raised.value)
    assert SpatialGrid().count == 775
