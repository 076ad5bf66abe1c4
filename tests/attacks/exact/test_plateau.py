"""A network whose gradients die near the image: only an attack that starts far away finds a way."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from attacks import (
    APGD,
    FAB,
    PGD,
    Attack,
    AutoAttack,
    MarginPGD,
    MinimumNormEnsemble,
    Streams,
    ThreatModel,
)
from tests.toys import fooled

PIXELS, CASES = 64, 12


class Plateau(nn.Module):
    """Nine ReLUs and a bias. The first lowers label 0 and goes out after a short way; the others, of
    which the largest raises label 1, are out around mid-grey: between them there is no gradient.

    Label 1 wins where one of the others reaches 2: seen from mid-grey, 2 + 3 along a direction of
    ones and minus ones, at 5 / 64 in L-inf and 5 / 8 in L2.
    """

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        signs = torch.randint(0, 2, (9, PIXELS), generator=generator) * 2.0 - 1
        self.register_buffer("weight", signs.double())

    def forward(self, x: Tensor) -> Tensor:
        inner = (x.flatten(1) - 0.5) @ self.weight.T
        own = 2 + torch.relu(inner[:, 0] + 0.5)
        other = torch.relu(inner[:, 1:] - 3).amax(1)
        return torch.stack([own, other], 1)


NEAREST = {"Linf": 5 / PIXELS, "L2": 5 / PIXELS**0.5}


def cases() -> tuple[Plateau, Tensor, Tensor]:
    """Images a little around mid-grey."""
    generator = torch.Generator().manual_seed(1)
    x = 0.5 + 0.002 * torch.randn(CASES, 1, 8, 8, generator=generator, dtype=torch.float64)
    return Plateau(), x, torch.zeros(CASES, dtype=torch.int64)


def streams() -> Streams:
    return Streams.of(0, range(CASES))


@pytest.mark.parametrize(
    "attack", [PGD(steps=50, restarts=5), MarginPGD(steps=100), APGD(restarts=5)], ids=repr
)
def test_attacks_from_nearby_see_nothing(attack: Attack) -> None:
    model, x, y = cases()
    x_adv = attack(model, x, y, ThreatModel("Linf", 1.6 * NEAREST["Linf"]), streams())
    assert not bool(fooled(model, x_adv, y).any())


@pytest.mark.parametrize("norm", NEAREST)
def test_standard_finds_the_way(norm: str) -> None:
    model, x, y = cases()
    x_adv = AutoAttack(queries=1)(model, x, y, ThreatModel(norm, 1.6 * NEAREST[norm]), streams())
    assert bool(fooled(model, x_adv, y).all())


@pytest.mark.parametrize("attack", [FAB(restarts=3), MinimumNormEnsemble()], ids=repr)
@pytest.mark.parametrize("norm", NEAREST)
def test_the_nearest_image_is_found(attack: Attack, norm: str) -> None:
    model, x, y = cases()
    threat = ThreatModel(norm, math.inf)
    x_adv = attack(model, x, y, threat, streams())
    assert bool(fooled(model, x_adv, y).all())
    assert float(threat.distance(x_adv, x).median()) < 1.1 * NEAREST[norm]
