"""AutoAttack with less work: the verdict of its full budget, for a part of the passes."""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from attacks import FAB, PGD, AutoAttack, Square, Streams, ThreatModel
from tests.toys import fit, fooled, predicted

CLASSES = 10


class Counted(nn.Module):
    """A model, and the rows that went through it either way."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.passes = model, 0

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x)
        self.passes += len(x) * (1 + logits.requires_grad)
        return logits


class Rounded(nn.Module):
    """Pixels of nine levels: no gradient passes."""

    def forward(self, x: Tensor) -> Tensor:
        return (8 * x).round() / 8


@cache
def patterns() -> tuple[nn.Module, Tensor, Tensor]:
    """Noisy patterns of 12 x 12 pixels, one a class, and a network that reads them right."""
    generator = torch.Generator().manual_seed(0)
    means = 0.5 + 0.15 * torch.randn(CLASSES, 1, 12, 12, generator=generator)
    y = torch.arange(240) % CLASSES
    x = (means[y] + 0.15 * torch.randn(240, 1, 12, 12, generator=generator)).clamp(0, 1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(144, 32), nn.ReLU(), nn.Linear(32, CLASSES))
    fit(model, x[:200], y[:200], epochs=60)
    x, y = x[200:], y[200:]
    right = predicted(model, x) == y
    return model.eval().requires_grad_(False), x[right][:24], y[right][:24]


def streams(x: Tensor) -> Streams:
    return Streams.of(0, range(len(x)))


@pytest.mark.slow
@pytest.mark.parametrize(("norm", "eps"), [("Linf", 0.085), ("L2", 0.88)])
def test_the_same_verdict_for_a_part_of_the_passes(norm: str, eps: float) -> None:
    model, x, y = patterns()
    threat = ThreatModel(norm, eps)
    counted, in_full = Counted(model), Counted(model)
    quick = fooled(model, AutoAttack()(counted, x, y, threat, streams(x)), y)
    full = fooled(model, AutoAttack(full=True)(in_full, x, y, threat, streams(x)), y)
    assert 0.1 < float(full.double().mean()) < 0.9
    assert torch.equal(quick, full)
    assert counted.passes < in_full.passes / 2.5


@pytest.mark.slow
def test_a_black_box_that_is_ahead_of_the_gradients_goes_on() -> None:
    """Where gradients are masked, Square keeps its budget, and the verdict stays."""
    model, x, y = patterns()
    masked, threat = nn.Sequential(Rounded(), model), ThreatModel("Linf", 0.1)
    right = predicted(masked, x) == y
    x, y = x[right], y[right]
    left_by_gradients = ~fooled(masked, PGD(steps=100)(masked, x, y, threat, streams(x)), y)
    attack = AutoAttack(queries=2000)
    quick = fooled(masked, attack(masked, x, y, threat, streams(x)), y)
    full = AutoAttack(queries=2000, full=True)(masked, x, y, threat, streams(x))
    assert torch.equal(quick, fooled(masked, full, y))
    assert int((quick & left_by_gradients).sum()) > 3


def test_a_hopeless_black_box_ends() -> None:
    model, x, y = patterns()
    threat = ThreatModel("Linf", 0.01)
    queries = {}
    for reached in (-math.inf, math.inf):
        counted = Counted(model)
        known = torch.full((len(x),), reached)
        Square(1000).search(counted, x, y, threat, streams(x), None, known)
        queries[reached] = counted.passes / len(x)
    assert queries[-math.inf] > 750  # ahead of any gradient: in full, successes apart
    assert queries[math.inf] < 350


def test_fab_ends_where_it_is_near_enough_or_will_not_be() -> None:
    model, x, y = patterns()
    free, near = ThreatModel("L2", math.inf), 0.4
    counted, in_full = Counted(model), Counted(model)
    whole = FAB().search(in_full, x, y, free, streams(x), None)
    part = FAB().search(counted, x, y, free, streams(x), None, within=near)
    assert torch.equal(part.distance <= near, whole.distance <= near)
    assert bool((whole.distance <= part.distance).all())
    assert counted.passes < in_full.passes / 2
