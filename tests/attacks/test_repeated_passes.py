"""Means of passes: of a random network the mean is known, and so is what an attack should find."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from attacks import APGD, PGD, AutoAttack, Streams, ThreatModel
from attacks.repeated_passes import (
    ClimbsMeans,
    MeanOfPasses,
    climbing_means,
    draws_begin_at,
    is_random,
    passes_climbing_means,
)
from tests.toys import Linear, Shaken, exact_eps, fooled, linear_cases


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


class Seldom:
    """A linear model whose logits move in one of four passes."""

    def __init__(self, inside: Linear, first: int) -> None:
        self.inside, self.passes = inside, itertools.count(first)

    def __call__(self, x: Tensor) -> Tensor:
        logits: Tensor = self.inside(x)
        return logits + (next(self.passes) % 4 == 0)


def test_a_network_that_draws_seldom_is_random_as_well() -> None:
    """Of it two passes mostly agree."""
    model, x, _ = linear_cases("free", n=32)
    assert all(is_random(Seldom(model, first), x) for first in range(4))


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("kind", [PGD, APGD])
def test_accuracy_goes_to_that_of_the_mean_model(kind: type[PGD] | type[APGD], norm: str) -> None:
    """In closed form 40 % of the cases resist; a single pass finds far less, case by case."""
    model, x, y = linear_cases("free", n=200)
    exact = exact_eps(model, x, y, norm)
    eps = float(exact.quantile(0.6))
    resist = float((exact > eps).double().mean())
    accuracy, lost = [], {}
    for passes in (1, 4, 64):
        with draws_begin_at(0, x.device):
            attack = ClimbsMeans(kind(steps=20), passes)
            streams, threat = Streams.of(0, range(len(x))), ThreatModel(norm, eps)
            x_adv = attack(Shaken(model, 2.0), x, y, threat, streams, None)
        assert float(threat.distance(x_adv, x).max()) <= eps * (1 + 1e-9)
        lost[passes] = fooled(model, x_adv, y)
        accuracy.append(float((~lost[passes]).double().mean()))
    assert accuracy[0] > accuracy[1] > accuracy[2] >= resist
    assert accuracy[2] <= resist + 0.02
    gained = lost[64].double() - lost[1].double()
    error = float(gained.std()) / len(gained) ** 0.5
    assert float(gained.mean()) > 0.05 and float(gained.mean()) > 3 * error


def test_the_ensemble_averages_as_many_passes_as_it_is_told() -> None:
    model, x, y = linear_cases("free", n=40)
    eps = float(exact_eps(model, x, y, "Linf").quantile(0.6))
    counted: dict[int, int] = {}
    for passes in (2, 8):
        attack = climbing_means(AutoAttack(steps=5, queries=40), passes)
        assert attack == AutoAttack(steps=5, queries=40, eot=passes)
        seen = itertools.count()
        shaken = Shaken(model, 4.0)

        def counting(z: Tensor, shaken: Shaken = shaken, seen: Iterator[int] = seen) -> Tensor:
            next(seen)
            return shaken(z)

        with draws_begin_at(0, x.device):
            x_adv = attack(
                *(counting, x, y, ThreatModel("Linf", eps), Streams.of(0, range(len(x))), None)
            )
        assert bool(fooled(model, x_adv, y).any())
        counted[passes] = next(seen)
        assert counted[passes] <= 2 * passes_climbing_means(AutoAttack(5, 40), passes)
    assert counted[8] > 1.5 * counted[2]
    assert passes_climbing_means(PGD(steps=7), 8) == 8 * PGD(steps=7).passes


def test_draws_begin_anew_and_the_state_is_put_back() -> None:
    state = torch.random.get_rng_state()
    drawn = []
    for _ in range(2):
        with draws_begin_at(5, torch.device("cpu")):
            drawn.append(torch.rand(3))
    assert torch.equal(*drawn) and torch.equal(state, torch.random.get_rng_state())
