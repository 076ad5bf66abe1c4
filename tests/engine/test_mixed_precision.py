"""Low precision finds, the classifier confirms: no case looks robust because of it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn

from attacks import FMN, PGD, Attack, CarliniWagnerL2, ThreatModel
from robust.cases.case import Case
from robust.engine.cells import Cell
from robust.engine.mixed_precision import MixedPrecisionAttacker, make_mixed_precision_attacker
from robust.engine.run_store import RunStore
from robust.models import Classifier, prepare
from robust.models.acceleration import accelerate
from robust.models.acceleration.accelerate import (
    Acceleration,
    FastModels,
    float32_copy,
)
from robust.models.acceleration.low_precision import low_precision_copy
from robust.models.acceleration.memory import OutOfMemory
from robust.tasks.classification import ANY_ERROR, Classification
from robust.tasks.contract import Batch
from tests.models.acceleration.nets import lively
from tests.toys import Shaken, exact_eps, linear_cases, trained


def test_what_was_settled_is_kept_with_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = prepare(
        Classifier(lively(torchvision.models.resnet18(num_classes=2)), head="softmax")
    )
    x = torch.rand(2, 3, 96, 96)
    monkeypatch.setattr(accelerate, "_features_of_cpu", lambda: {"amx_bf16"})
    store = RunStore(tmp_path)
    first = make_mixed_precision_attacker(classifier, x, "auto", store)
    # The run goes on on a machine with another processor.
    monkeypatch.setattr(accelerate, "_features_of_cpu", set)
    monkeypatch.setattr(accelerate, "measure_passes", lambda ways, x: pytest.fail("measured again"))
    again = make_mixed_precision_attacker(classifier, x, "auto", store)
    assert again.models.acceleration == first.models.acceleration
    assert again.models.low_precision is not None
    store.close()


class Rounding(nn.Module):
    """A signal of 0 to 1 on top of 1000, where bfloat16 counts in steps of 4: there the gradient
    is zero, and an attack in bfloat16 alone would call every image robust.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(64, 8), nn.Linear(8, 1), nn.Linear(1, 2)
        with torch.no_grad():
            self.first.weight.fill_(1 / 64)
            self.first.bias.zero_()
            self.middle.weight.fill_(1 / 8)
            self.middle.bias.fill_(1000)
            self.last.weight.copy_(torch.tensor([[1.0], [-1.0]]))
            self.last.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        found = self.middle(self.first(x.flatten(1)))
        return self.last((found.float() - 1000.5).relu() - 0.1)


def batch(classifier: Classifier, x: Tensor) -> Batch:
    with torch.no_grad():
        logits = classifier(x)
    cases = tuple(Case(f"case {i}", 0, f"{i}", image) for i, image in enumerate(x))
    return Batch(tuple(range(len(x))), cases, x, logits.argmax(1), logits)


def test_low_precision_that_flatters_is_not_believed() -> None:
    classifier = prepare(Classifier(Rounding(), head="softmax"))
    x = torch.full((6, 1, 8, 8), 0.7)
    found = float32_copy(classifier, x)
    assert found is not None
    low = low_precision_copy(found[0], x)
    assert low is not None
    cell = Cell("PGD", PGD(), ThreatModel("Linf", 0.2), exact=True)
    goal = Classification("error", ())
    b = batch(classifier, x)
    alone = MixedPrecisionAttacker(classifier, FastModels(low, None, Acceleration()))
    assert not any(o.success for o in alone.run(cell, b, goal, 0)[1])
    both = MixedPrecisionAttacker(
        classifier, FastModels(found[0], low, Acceleration(0, True, True))
    )
    x_adv, outcomes = both.run(cell, b, goal, 0)
    assert all(o.success for o in outcomes)
    assert outcomes[0].passes > alone.run(cell, b, goal, 0)[1][0].passes
    with torch.no_grad():
        assert (classifier(x_adv).argmax(1) != b.y).all()
        assert float((x_adv - x).abs().max()) <= 0.2 + 1e-6


def test_what_low_precision_found_and_the_classifier_denies_is_no_success() -> None:
    """The copy says yes to everything; only what the classifier confirms counts."""
    classifier = prepare(Classifier(Rounding(), head="softmax"))

    def agreeing(x: Tensor) -> Tensor:
        return classifier(x) * 0 + torch.tensor([0.0, 1.0]) * x.mean((1, 2, 3))[:, None]

    b = batch(classifier, torch.full((3, 1, 8, 8), 0.9))
    cell = Cell("PGD", PGD(), ThreatModel("Linf", 0.01), exact=True)
    found = MixedPrecisionAttacker(
        classifier, FastModels(classifier, agreeing, Acceleration(0, True, True))
    )
    assert not any(o.success for o in found.run(cell, b, Classification("error", ()), 0)[1])


class Hungry(nn.Module):
    """Takes four images at most."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.linear = most, nn.Linear(64, 2)

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > self.most and x.requires_grad:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.linear(x.flatten(1))


def test_memory_that_runs_out_halves_the_batch_and_changes_nothing() -> None:
    torch.manual_seed(0)
    network = Hungry(4)
    classifier = prepare(Classifier(network, head="softmax").double())
    x = torch.rand(13, 1, 8, 8, dtype=torch.float64)
    cell = Cell("PGD", PGD(), ThreatModel("Linf", 0.05), exact=True)
    attacker = MixedPrecisionAttacker(classifier, FastModels(classifier, None, Acceleration()))
    x_adv, outcomes = attacker.run(cell, batch(classifier, x), Classification("error", ()), 0)
    assert attacker.sizes.of(x).used <= 4
    assert [o.row for o in outcomes] == list(range(13))
    classifier.network.most = 100  # type: ignore[union-attr]
    roomy = MixedPrecisionAttacker(classifier, FastModels(classifier, None, Acceleration()))
    assert torch.equal(
        roomy.run(cell, batch(classifier, x), Classification("error", ()), 0)[0], x_adv
    )
    classifier.network.most = 0  # type: ignore[union-attr]
    with pytest.raises(OutOfMemory, match="memory ran out on a batch of 1"):
        roomy.run(cell, batch(classifier, x), Classification("error", ()), 0)


def test_a_curve_cell_leaves_the_fallen_alone() -> None:
    torch.manual_seed(0)
    classifier = prepare(
        Classifier(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), head="softmax").double()
    )
    b = batch(classifier, torch.rand(40, 1, 8, 8, dtype=torch.float64))
    attacker = MixedPrecisionAttacker(classifier, FastModels(classifier, None, Acceleration()))
    threat = ThreatModel("Linf", 0.05)
    full = attacker.run(Cell("PGD", PGD(), threat, exact=True), b, Classification("error", ()), 0)[
        1
    ]
    curve = attacker.run(
        Cell("PGD", PGD(), threat, exact=False), b, Classification("error", ()), 0
    )[1]
    assert [o.success for o in full] == [o.success for o in curve]
    assert sum(o.success for o in full) > 0
    assert curve[0].passes < 0.8 * full[0].passes


@pytest.mark.parametrize("attack", [CarliniWagnerL2(steps=20, binary_steps=5), FMN(steps=60)])
def test_the_nearest_images_are_as_near(attack: Attack) -> None:
    """Searched in bfloat16 and brought over the boundary at float32, a hundredth farther."""
    net, x, _ = trained()
    x = x[:32]
    classifier = prepare(Classifier(net, head="softmax"))
    copied = float32_copy(classifier, x)
    assert copied is not None
    low = low_precision_copy(copied[0], x)
    cell = Cell("nearest", attack, ThreatModel("L2", math.inf), exact=True)
    distances = []
    for models in (
        FastModels(classifier, None, Acceleration()),
        FastModels(classifier, low, Acceleration(0, True, True)),
    ):
        attacker = MixedPrecisionAttacker(classifier, models)
        _, found = attacker.run(cell, batch(classifier, x), ANY_ERROR, 0)
        assert all(o.success for o in found)
        distances.append(torch.tensor([o.l2 for o in found]))
    ratio = distances[1] / distances[0]
    assert 0.99 < float(ratio.median()) < 1.01
    assert float(ratio.max()) < 1.15


@pytest.mark.parametrize(
    ("attack", "norm"),
    [
        (FMN(steps=50), "Linf"),
        (FMN(steps=50), "L2"),
        pytest.param(CarliniWagnerL2(steps=50), "L2", marks=pytest.mark.slow),
    ],
)
def test_a_nearest_image_on_random_outputs_is_that_of_the_mean(attack: Attack, norm: str) -> None:
    """Of few passes some lie too near, by luck: they are moved over the mean's own boundary."""
    model, x, y = linear_cases("free", n=40)
    exact = exact_eps(model, x, y, norm)
    far = exact > exact.median()
    x, y, exact = x[far], y[far], exact[far]
    cell = Cell("near", attack, ThreatModel(norm, math.inf), exact=True)
    b = batch(Classifier(model, head="softmax"), x)
    median = {}
    for passes in (1, 64):
        fast = FastModels(Shaken(model, 1.0), None, Acceleration())
        runs = [
            MixedPrecisionAttacker(model, fast, passes=passes).run(cell, b, ANY_ERROR, 0)
            for _ in range(1 + (passes == 1))
        ]
        x_adv, outcomes = runs[0]
        assert all(torch.equal(x_adv, other) for other, _ in runs), "its draws are repeated"
        found = torch.tensor([one.success for one in outcomes])
        ratio = ThreatModel(norm, 0).distance(x_adv, x)[found] / exact[found]
        assert bool((ratio >= 1 - 1e-9).all())
        median[passes] = float(ratio.median()) if float(found.double().mean()) > 0.5 else math.inf
    assert median[64] < 1.1 and median[64] < median[1]
