"""Paired with other libraries on one small segmenter, with equal gradients: 1 % of pixels at most.

adversarial-library has ALMA-prox; torchattacks knows no segmenters, but its losses are means over
all that they are given, so its attacks run on dense logits as they are.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attacks import BIM, FGSM, PGD, SEA, ALMAProx, Attack, CosPGD, SegPGD, ThreatModel
from attacks.losses import margin
from robust.benchmark.peers import seeded
from tests.attacks.cases import streams

SIZE, CASES, STEPS = 24, 12, 20
LOST = 0.01
FROM_IMAGE = PGD(steps=STEPS, schedule="constant", start="image", keep="last")
"""Of random starts each lands elsewhere: in L2 three seeds of one attack differ by a tenth."""


class Normalised(nn.Module):
    """Images are divided by their spread before the network."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network((x - 0.45) / 0.1)
        return logits


def discs(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Noisy images of a disc and a smaller, brighter ellipse, and their masks."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    centres = 6 + (SIZE - 12) * torch.rand(2, n, 2, 1, 1, generator=generator)
    radius = 3 + 4 * torch.rand(n, 1, 1, generator=generator)
    (first, second), (third, fourth) = centres[0].unbind(1), centres[1].unbind(1)
    y = ((rows - first) ** 2 + (columns - second) ** 2 < radius**2).long()
    y = torch.where((rows - third) ** 2 / 3 + (columns - fourth) ** 2 < 6, 2, y)
    x = 0.4 + 0.06 * y + 0.03 * torch.randn(n, SIZE, SIZE, generator=generator)
    return x[:, None].clamp(0, 1), y


@cache
def segmenter() -> tuple[nn.Module, Tensor, Tensor]:
    """A small network that was trained on such images, and others to attack."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            *(nn.Conv2d(1, 12, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(12, 12, 3, padding=2, dilation=2), nn.ReLU()),
            *(nn.Conv2d(12, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 3, 1)),
        )
        model, (x, y) = Normalised(network), discs(100, 1)
        optimiser = torch.optim.Adam(model.parameters(), 1e-2)
        for step in range(150):
            rows = torch.arange(25) + 25 * (step % 4)
            optimiser.zero_grad()
            F.cross_entropy(model(x[rows]), y[rows]).backward()
            optimiser.step()
    model.eval().requires_grad_(False)
    x, y = discs(CASES, 2)
    assert float((model(x).argmax(1) == y).double().mean()) > 0.95
    return model, x, y


def wrong(x_adv: Tensor) -> Tensor:
    """The share of wrong pixels, `(n,)`."""
    model, _, y = segmenter()
    return (model(x_adv).argmax(1) != y).flatten(1).double().mean(1)


def ours(attack: Attack, eps: float, norm: str = "Linf") -> Tensor:
    model, x, y = segmenter()
    return attack(model, x, y, ThreatModel(norm, eps), streams(CASES))


@pytest.mark.parametrize("eps", [0.02, 0.05])
@pytest.mark.parametrize(
    ("name", "norm", "attack"),
    [
        ("FGSM", "Linf", FGSM()),
        ("BIM", "Linf", BIM(steps=STEPS, step_size=0.05)),
        ("PGD", "Linf", FROM_IMAGE),
        ("PGD", "Linf", SegPGD(steps=STEPS)),
        ("PGD", "Linf", CosPGD(steps=STEPS)),
        ("MIFGSM", "Linf", SEA(steps=10)),
        ("PGDL2", "L2", FROM_IMAGE),
        ("PGDL2", "L2", CosPGD(steps=STEPS)),
    ],
)
def test_torchattacks(name: str, norm: str, attack: Attack, eps: float) -> None:
    """Of wrong pixels, and of the Dice by which ours chooses among its images."""
    library = pytest.importorskip("torchattacks")
    model, x, y = segmenter()
    eps = 20 * eps if norm == "L2" else eps
    fields: dict[str, Any] = {"eps": eps}
    if name != "FGSM":
        share = 0.05 if name == "BIM" else PGD().step_size
        fields |= {"alpha": share * eps, "steps": STEPS}
    if attack == FROM_IMAGE:
        fields["random_start"] = False
    with seeded(0):
        peer = getattr(library, name)(model, **fields)(x, y)
    x_adv = ours(attack, eps, norm)
    assert float((wrong(peer) - wrong(x_adv)).mean()) <= LOST
    assert float((margin(model(peer), y) - margin(model(x_adv), y)).mean()) <= LOST


def test_alma_prox_of_adversarial_library() -> None:
    """Within the distance that the peer needed, pixels are as wrong; and ours reaches the share."""
    attacks = pytest.importorskip("adv_lib.attacks.segmentation")
    model, x, y = segmenter()
    with seeded(0):
        peer = attacks.alma_prox(model, x, y, num_steps=300)
    attack = ALMAProx(steps=250)
    assert attack.passes <= 301
    x_adv = ours(attack, math.inf)
    assert bool((wrong(x_adv) >= 0.99).all())
    reached = wrong(peer) >= 0.99
    nearest = ThreatModel("Linf", math.inf)
    ball = nearest.distance(peer, x).view(-1, 1, 1, 1)
    inside = x + (x_adv - x).clamp(-ball, ball)
    assert float((wrong(peer) - wrong(inside)).mean()) <= LOST
    if bool(reached.any()):
        ratio = nearest.distance(x_adv, x)[reached] / nearest.distance(peer, x)[reached]
        assert float(ratio.median()) <= 1.01
