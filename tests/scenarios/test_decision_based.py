"""The decision-based attack: queries are counted, the nearest image is kept."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from attacks import ThreatModel
from robust.errors import InputError
from robust.scenarios.decision_based import LabelOracle, QueriesSpent
from tests.scenarios.play import holdout, run


def test_the_model_is_asked_no_more_often_than_said() -> None:
    """And the nearest image of those that worked is kept, at each number of questions."""
    split = holdout()
    batch = split.batch.take([0])
    wrong = split.others.x[split.target_image(0, 0) or 0][None]
    asked = LabelOracle(split, batch, [1, 3], ThreatModel("Linf", float("inf")))
    near: Tensor = torch.lerp(batch.x, wrong, 0.999)
    for image in (wrong, near, batch.x):
        assert asked(image).sum() == 1
    assert torch.equal(asked.nearest_by_budget[1], wrong)
    assert torch.equal(asked.nearest_by_budget[3], near)
    with pytest.raises(QueriesSpent):
        asked(wrong)


def test_queries_name_what_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install foolbox"):
        run(surrogate=None, scenarios={"queries": [10]})
