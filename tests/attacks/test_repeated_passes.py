"""Means of passes: of a random network the mean is known, and so is what an attack should find."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from attacks import PGD, AutoAttack, Streams, ThreatModel
from attacks.repeated_passes import MeanOfPasses, is_random
from tests.toys import Linear, fooled, linear_cases


class Wavering:
    """A linear model whose logits are moved by noise at every pass."""

    def __init__(self, inside: Linear, noise: float) -> None:
        self.inside, self.noise = inside, noise
        self.draws = torch.Generator().manual_seed(0)

    def __call__(self, x: Tensor) -> Tensor:
        logits: Tensor = self.inside(x)
        return logits + self.noise * torch.randn(
            logits.shape, generator=self.draws, dtype=logits.dtype
        )


def test_a_random_network_is_recognised_and_its_noise_averaged() -> None:
    model, x, _ = linear_cases("free", n=32)
    assert not is_random(model, x)
    wavering = Wavering(model, 0.1)
    assert is_random(wavering, x)
    with torch.no_grad():
        off = MeanOfPasses(wavering, 400)(x) - model(x)
        assert float(off.std()) < 0.1 / 400**0.5 * 1.5
        assert torch.equal(MeanOfPasses(model, 3)(x), (3 * model(x)) / 3)


def test_the_ensemble_is_not_done_at_a_lucky_pass() -> None:
    """What it finds is misread without the noise, as often as what PGD finds on the bare model."""
    model, x, y = linear_cases("free", n=32)
    with torch.no_grad():
        noise = 0.5 * float(model(x).diff(dim=1).abs().median())
    threat, streams = ThreatModel("Linf", 0.05), Streams.of(0, range(len(x)))
    attack = AutoAttack(steps=10, queries=50)
    x_adv = attack(Wavering(model, noise), x, y, threat, streams)
    bare = PGD(loss="margin", start="image")(model, x, y, threat, streams)
    assert bool(fooled(model, bare, y).any())
    assert int(fooled(model, x_adv, y).sum()) >= int(fooled(model, bare, y).sum())


def test_a_network_that_draws_seldom_is_random_as_well() -> None:
    """It resizes in one of four passes, say: two passes mostly agree."""
    model, x, _ = linear_cases("free", n=32)
    for first in range(4):
        passes = itertools.count(first)
        assert is_random(lambda x, passes=passes: model(x) + (next(passes) % 4 == 0), x)
