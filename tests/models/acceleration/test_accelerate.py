"""Faster copies of a classifier: chosen by measuring, and with the same logits."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from robust.models import Classifier, prepare
from robust.models.acceleration import accelerate
from robust.models.acceleration.accelerate import (
    Acceleration,
    make_fast_models,
)
from tests.models.acceleration.nets import lively


def test_small_networks_and_float64_run_as_they_are() -> None:
    small = prepare(Classifier(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), head="softmax"))
    for classifier, x in (
        (small, torch.rand(4, 3, 2, 2)),
        (small.double(), torch.rand(4, 3, 2, 2).double()),
    ):
        models = make_fast_models(classifier, x)
        assert (
            models.float32 is classifier
            and models.low_precision is None
            and models.acceleration == Acceleration()
        )


def test_the_choice_follows_the_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = prepare(
        Classifier(lively(torchvision.models.resnet18(num_classes=2)), head="softmax")
    )
    x = torch.rand(2, 3, 96, 96)
    seconds = {"original": 3.0, "float32": 2.0, "bfloat16": 1.0}
    monkeypatch.setattr(accelerate, "measure_passes", lambda ways, x: {k: seconds[k] for k in ways})
    with torch.no_grad():
        both = make_fast_models(classifier, x)
        assert both.low_precision is not None and both.acceleration == Acceleration(
            20, True, True, 3.0
        )
        wanted = classifier(x)
        torch.testing.assert_close(both.float32(x), wanted, rtol=1e-4, atol=1e-4)
        assert float((both.low_precision(x) - wanted).abs().max()) < 0.1 * float(wanted.abs().max())
        single = make_fast_models(classifier, x, "float32")
        assert single.low_precision is None and single.acceleration == Acceleration(
            20, True, False, 1.5
        )
        seconds["bfloat16"] = 1.9
        assert make_fast_models(classifier, x).low_precision is None
        assert make_fast_models(classifier, x, "bfloat16").low_precision is not None
        seconds["float32"], seconds["bfloat16"] = 2.99, 2.95
        assert make_fast_models(classifier, x).float32 is classifier
