"""The operating threshold for a wanted sensitivity on val."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robust.cases import open_cases
from robust.engine.inputs import open_plan, threshold_for
from robust.models import Classifier, prepare
from robust.plan import load_plan
from tests.engine.nets import trained


def test_the_threshold_reaches_the_sensitivity_and_no_more() -> None:
    cases = open_cases("phantom:chest_xray", split="val", count=120, pixels=28)
    ready = prepare(Classifier(trained(28), channels=1, head="softmax"))
    x = torch.stack([cases[i].image for i in range(120)])
    y = np.array([entry.label for entry in cases.entries])
    p = ready(x).softmax(1)[:, 1].numpy()
    for wanted in (0.5, 0.8, 0.95):
        threshold = threshold_for(ready, cases, wanted)
        assert (p[y == 1] > threshold).mean() >= wanted
        higher = np.sort(p[y == 1])
        above = higher[higher > threshold][0] + 1e-6
        assert (p[y == 1] > above).mean() < wanted + 1 / 60


def test_the_finding_may_be_the_first_class() -> None:
    """The threshold is always that of the second class."""
    made = open_cases("phantom:chest_xray", split="val", count=120, pixels=28)
    entries = tuple(replace(entry, label=1 - entry.label) for entry in made.entries)
    cases = replace(made, entries=entries, findings=(0,))
    second = Classifier(trained(28), channels=1, head="softmax")
    first = Classifier(nn.Sequential(trained(28), Flipped()), channels=1, head="softmax")
    wanted = threshold_for(prepare(second), made, 0.9)
    assert threshold_for(prepare(first), cases, 0.9) == pytest.approx(1 - wanted)


class Flipped(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flip(1)


def test_a_plan_that_names_a_sensitivity(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file(trained(28).state_dict(), tmp_path / "w.safetensors")
    (tmp_path / "plan.toml").write_text(
        f"""
[model]
factory = "tests.engine.nets:small"
weights = "{tmp_path / "w.safetensors"}"
channels = 1
[data]
path = "phantom:chest_xray"
count = 60
pixels = 28
[audit]
sensitivity = 0.9
"""
    )
    classifier, cases = open_plan(load_plan(tmp_path / "plan.toml"), "cpu")
    assert classifier.threshold != 0.5
    assert (cases.split, len(cases)) == ("test", 60)
