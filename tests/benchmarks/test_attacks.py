"""How fast every attack runs: gradient calls per second, and the ratio to its bare passes."""

from __future__ import annotations

import pytest
import torch

from attacks import ATTACKS, Attack, AutoAttack, CarliniWagnerL2, MinimumNormEnsemble, Square
from robust import Classifier, open_cases
from robust.demo import network
from robust.pytest_plugin.benchmark import AttackBenchmark

pytestmark = pytest.mark.benchmark(group="attacks")

SHORTER: dict[str, Attack] = {
    "CarliniWagnerL2": CarliniWagnerL2(steps=10, binary_steps=3),
    "MinimumNormEnsemble": MinimumNormEnsemble(steps=5),
    "Square": Square(queries=200),
    "AutoAttack": AutoAttack(steps=5, queries=50),
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


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_attack(
    attack_benchmark: AttackBenchmark,
    batch: tuple[Classifier, torch.Tensor, torch.Tensor],
    name: str,
) -> None:
    attack = SHORTER.get(name) or ATTACKS[name]()
    eps = None if attack.minimum_norm else "1/255"
    speed = attack_benchmark(attack, *batch, eps=eps, rounds=5)
    assert speed.cases == len(batch[1]) and speed.seconds > 0
    # It may not make more passes than it owns to: plans and progress bars count on that.
    assert speed.forward <= attack.passes
    assert speed.backward <= speed.forward
