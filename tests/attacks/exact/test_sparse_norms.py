"""L1 and L0 on linear models: the greedy optimum inside the box is exact, and attacks reach it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from attacks import APGDL1, Model, SigmaZero, ThreatModel
from tests.attacks.cases import streams
from tests.toys import fooled

LINEAR = pytest.mark.parametrize(("classes", "channels"), [(2, 1), (3, 1), (2, 3), (3, 3)])


def linear(classes: int, channels: int) -> tuple[Model, Tensor, Tensor, Tensor]:
    """A model, 50 images that are often black or white, their labels, and weights `(k, values)`."""
    generator = torch.Generator().manual_seed(10 * classes + channels)
    weights = torch.randn(classes, channels * 36, generator=generator).double()
    x = torch.rand(50, channels, 6, 6, generator=generator).double()
    typical = weights[torch.arange(50) % classes].view_as(x)
    x = (1.6 * x - 0.3 + 0.2 * typical).clamp(0, 1)
    middle = weights @ x.flatten(1).mean(0)

    def model(z: Tensor) -> Tensor:
        return z.flatten(1) @ weights.T - middle

    return model, x, model(x).argmax(1), weights


def greedy(model: Model, x: Tensor, y: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The least L1 distance and the fewest pixels that cross to some other label: `(n,)` each.

    A linear function grows most along its largest weights, each up to the box, and a pixel gains
    the sum over its channels: the best are taken first.
    """
    least = torch.full((2, len(x)), math.inf, dtype=x.dtype)
    for i, image in enumerate(x):
        logits = model(image[None])[0]
        for label in set(range(len(weights))) - {int(y[i])}:
            gap = float(logits[y[i]] - logits[label])
            slope = (weights[label] - weights[y[i]]).view_as(image)
            room = torch.where(slope > 0, 1 - image, image)
            left, moved = gap, 0.0
            for place in slope.abs().flatten().argsort(descending=True).tolist():
                size, most = float(slope.abs().flatten()[place]), float(room.flatten()[place])
                if size * most >= left:
                    least[0, i] = min(float(least[0, i]), moved + left / size)
                    break
                left, moved = left - size * most, moved + most
            gains = (slope.abs() * room).sum(0).flatten().sort(descending=True).values.cumsum(0)
            if float(gains[-1]) > gap:
                needed = float((gains <= gap).sum()) + 1
                least[1, i] = min(float(least[1, i]), needed)
    assert bool(least.isfinite().all()) and float(least[1].median()) > 1
    return least[0], least[1]


@LINEAR
def test_l1_is_within_a_percent_of_the_greedy_optimum(classes: int, channels: int) -> None:
    model, x, y, weights = linear(classes, channels)
    exact, _ = greedy(model, x, y, weights)
    attack = APGDL1(steps=20, stop=True)
    for share, reached in ((1.01, True), (0.9999, False)):
        for i in range(0, len(x), 4):
            rows = slice(i, i + 1)
            threat = ThreatModel("L1", share * float(exact[i]))
            x_adv = attack(model, x[rows], y[rows], threat, streams(1))
            assert bool(fooled(model, x_adv, y[rows]).all()) is reached


def test_without_the_linearised_loss_steps_alone_come_near(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the paper's steps do by themselves: the optimum within a few percent."""
    model, x, y, weights = linear(2, 1)
    exact, _ = greedy(model, x, y, weights)
    monkeypatch.setattr(APGDL1, "_first_losses", lambda *_: [])
    won = []
    for i in range(0, len(x), 5):
        threat = ThreatModel("L1", 1.05 * float(exact[i]))
        x_adv = APGDL1(steps=100, stop=True)(model, x[i : i + 1], y[i : i + 1], threat, streams(1))
        won.append(bool(fooled(model, x_adv, y[i : i + 1]).all()))
    assert sum(won) >= 9


@LINEAR
def test_l0_is_the_greedy_optimum(classes: int, channels: int) -> None:
    """In 99 % of cases, else one pixel more; never fewer."""
    model, x, y, weights = linear(classes, channels)
    _, exact = greedy(model, x, y, weights)
    threat = ThreatModel("L0", math.inf)
    x_adv = SigmaZero(steps=10, rounds=1)(model, x, y, threat, streams(x))
    assert bool(fooled(model, x_adv, y).all())
    more = threat.distance(x_adv, x) - exact
    assert bool((more >= 0).all()) and bool((more <= 1).all())
    assert float((more == 0).double().mean()) >= 0.99


def test_adam_alone_finds_few_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """The paper's part by itself, without the greedy start and without pruning."""
    model, x, y, weights = linear(2, 3)
    _, exact = greedy(model, x, y, weights)
    monkeypatch.setattr("attacks.minimum_norm.sigma_zero._Search.labels", lambda _: iter(()))
    threat = ThreatModel("L0", math.inf)
    x_adv = SigmaZero(steps=200, rounds=0)(model, x, y, threat, streams(x))
    assert bool(fooled(model, x_adv, y).all())
    assert float(threat.distance(x_adv, x).median()) <= float(exact.median()) + 2
