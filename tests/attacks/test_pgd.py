"""PGD: what it keeps, what restarts add, and how far it must be able to travel."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from attacks import PGD, ThreatModel, make_attack
from attacks.losses import margin
from tests.attacks.cases import streams
from tests.toys import fooled, patterns


def test_best_is_never_worse_than_last() -> None:
    """A long step goes past the goal: `best` remembers the image on the way."""
    x = torch.full((1, 1, 1, 1), 0.5, dtype=torch.float64)
    y = torch.zeros(1, dtype=torch.int64)

    def ridge(z: Tensor) -> Tensor:
        v = z.flatten(1)
        return torch.cat([torch.zeros_like(v), 0.02 - (v - 0.54).abs()], 1)

    threat = ThreatModel("Linf", 0.1)
    steps: dict[str, Any] = {"steps": 2, "step_size": 0.5, "schedule": "constant", "start": "image"}
    best = PGD(**steps)(ridge, x, y, threat, streams(1))
    last = PGD(**steps, keep="last")(ridge, x, y, threat, streams(1))
    assert float(best) == pytest.approx(0.55)
    assert float(margin(ridge(best), y)) > 0 > float(margin(ridge(last), y))


@pytest.mark.parametrize("start", ["random", "image"])
def test_restarts_only_help(start: str) -> None:
    """Nested: the first restart of two is the one restart of one; per case the margin may only rise."""
    model, x, y = patterns(3)
    threat = ThreatModel("Linf", 0.03)
    n = len(x)
    first = before = torch.full((n,), -math.inf)
    for restarts in (1, 2, 4):
        attack = PGD(steps=3, step_size=0.5, start=start, restarts=restarts)
        value = margin(model(attack(model, x, y, threat, streams(n))), y).detach()
        assert bool((value >= before - 1e-6).all())
        first, before = (value if restarts == 1 else first), value
    assert bool((before > first + 1e-4).any())
    noise = [
        margin(model(make_attack("Noise", restarts=r)(model, x, y, threat, streams(n))), y)
        for r in (1, 8)
    ]
    assert bool((noise[1] >= noise[0] - 1e-6).all()) and bool((noise[1] > noise[0] + 1e-4).any())


def test_what_is_called_fooled_is_what_the_model_says() -> None:
    """The success that is counted is the label predicted again, ties going to the defender."""
    model, x, y = patterns(3)
    x_adv = PGD()(model, x, y, ThreatModel("Linf", 0.05), streams(x))
    with torch.no_grad():
        again = model(x_adv).argmax(1) != y
    assert torch.equal(again, fooled(model, x_adv, y))
