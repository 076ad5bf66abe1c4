"""How fast every attack runs: gradient calls per second, and the ratio to its bare passes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from attacks import (
    ATTACKS,
    SEA,
    ALMAProx,
    Attack,
    AutoAttack,
    CarliniWagnerL2,
    MinimumNormEnsemble,
    Square,
)
from robust import Classifier, Segmenter, open_cases
from robust.demo import network
from robust.pytest_plugin.benchmark import AttackBenchmark

# That every attack runs is shown by tests/attacks; here its time counts.
pytestmark = [pytest.mark.benchmark(group="attacks"), pytest.mark.slow]

SHORTER: dict[str, Attack] = {
    "CarliniWagnerL2": CarliniWagnerL2(steps=10, binary_steps=3),
    "MinimumNormEnsemble": MinimumNormEnsemble(steps=5),
    "Square": Square(queries=200),
    "AutoAttack": AutoAttack(steps=5, queries=50),
    "SEA": SEA(steps=30),
    "ALMAProx": ALMAProx(steps=30),
}
"""By default these make up to thousands of passes, which would take longer and show no more."""


@pytest.fixture(scope="module")
def batch(request: pytest.FixtureRequest) -> tuple[Classifier, torch.Tensor, torch.Tensor]:
    """The demonstration's network with random weights, and phantoms as it reads them: a few where
    nothing is timed.
    """
    count = 2 if request.config.getoption("benchmark_disable") else 16
    with torch.random.fork_rng():
        torch.manual_seed(0)
        classifier = Classifier(network().eval(), channels=3, mean=0.5, std=0.25, head="softmax")
    cases = open_cases("phantom:chest_xray", count=count, pixels=64)
    x = torch.stack([case.image for case in cases])
    with torch.no_grad():
        y = classifier(x).argmax(1)
    return classifier, x, y


@pytest.fixture(scope="module")
def outlines(request: pytest.FixtureRequest) -> tuple[Segmenter, torch.Tensor, torch.Tensor]:
    """A network of two convolutions that outlines a lesion, and phantoms with masks."""
    count = 2 if request.config.getoption("benchmark_disable") else 16
    with torch.random.fork_rng():
        torch.manual_seed(0)
        parts = nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 3, padding=1)
        segmenter = Segmenter(nn.Sequential(*parts), channels=3, head="softmax")
    cases = open_cases("phantom:lesion", count=count, pixels=64)
    x = torch.stack([case.image for case in cases])
    return segmenter, x, torch.stack([case.mask.long() for case in cases])


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_attack(
    attack_benchmark: AttackBenchmark,
    batch: tuple[Classifier, torch.Tensor, torch.Tensor],
    outlines: tuple[Segmenter, torch.Tensor, torch.Tensor],
    name: str,
) -> None:
    attack = SHORTER.get(name) or ATTACKS[name]()
    norm = "Linf" if "Linf" in attack.norms else attack.norms[0]
    eps = None if attack.minimum_norm else "1/255" if norm == "Linf" else 0.5
    own = outlines if attack.traits.dense_only else batch
    speed = attack_benchmark(attack, *own, norm=norm, eps=eps, rounds=5)
    assert speed.cases == len(own[1]) and speed.seconds > 0
    # It may not make more passes than it owns to: plans and progress bars count on that.
    assert speed.forward <= attack.passes
    assert speed.backward <= speed.forward
