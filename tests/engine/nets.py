"""A small network that was really trained, for what the engine does with one."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from robust.cases import Cases, open_cases
from robust.models import Classifier

BRIEF: dict[str, Any] = {"doubts": {"probe": False}, "gallery": 0, "device": "cpu"}
"""Settings of an audit whose attacks alone are looked at."""


def net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.LazyLinear(2),
    )


def small() -> nn.Module:
    """The network at 28 pixels with random weights, as a factory for a plan."""
    model = net()
    model(torch.zeros(1, 1, 28, 28))
    return model


def dropping() -> nn.Module:
    """As `small`, with dropout between its layers: it takes the same weights."""
    model = small()
    assert isinstance(model, nn.Sequential)
    model[3] = nn.Sequential(nn.ReLU(), nn.Dropout(0.3))
    return model


def smooth() -> nn.Module:
    """As `small`, with another activation: it takes the same weights and is another network."""
    model = small()
    assert isinstance(model, nn.Sequential)
    model[1], model[3] = nn.GELU(), nn.GELU()
    return model


@cache
def _trained(pixels: int) -> nn.Module:
    cases = open_cases("phantom:chest_xray", split="train", count=200, pixels=pixels)
    x = torch.stack([cases[i].image for i in range(len(cases))])
    y = torch.tensor([entry.label for entry in cases.entries])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = net()
        model(x[:1])
        optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
        for _ in range(60):
            loss = F.cross_entropy(model(x), y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return model


def trained(pixels: int) -> nn.Module:
    """A fresh copy of a two-class network trained on chest phantoms of this size."""
    return copy.deepcopy(_trained(pixels))


def phantoms(count: int = 40, split: str = "test") -> Cases:
    """Chest phantoms at 28 pixels, two classes."""
    return open_cases("phantom:chest_xray", split=split, count=count, pixels=28)


def classifier(**options: Any) -> Classifier:
    """The trained network at 28 pixels, wrapped for an audit."""
    return Classifier(trained(28), channels=1, **options)
