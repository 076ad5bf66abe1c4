"""Faster copies say what the classifier says; low precision makes no case look robust."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from attacks import PGD, ThreatModel
from robust.cases.case import Case
from robust.engine.batch import Batch
from robust.engine.cells import Cell
from robust.engine.goal import Goal
from robust.engine.mixed_precision import MixedPrecisionAttacker, make_mixed_precision_attacker
from robust.engine.run_store import RunStore
from robust.engine.verified_attack import OutOfMemory
from robust.models import Classifier, prepare
from robust.models.acceleration import accelerate
from robust.models.acceleration.accelerate import (
    Acceleration,
    FastModels,
    float32_copy,
    low_precision_copy,
    make_fast_models,
)
from robust.models.acceleration.batchnorm_folding import fold


def lively(network: nn.Module) -> nn.Module:
    """Normalisations that do something."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
    return network


NETWORKS = {
    "torchvision resnet18": (lambda: torchvision.models.resnet18(num_classes=3), 20),
    "torchvision mobilenet_v2": (lambda: torchvision.models.mobilenet_v2(num_classes=3), 52),
    "timm resnet18": (lambda: timm.create_model("resnet18", num_classes=3), 20),
    "timm efficientnet_b0": (lambda: timm.create_model("efficientnet_b0", num_classes=3), 49),
    "torchvision densenet121": (lambda: torchvision.models.densenet121(num_classes=3), 59),
    "timm vit_tiny": (lambda: timm.create_model("vit_tiny_patch16_224", num_classes=3), 0),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_folded_network_is_the_same_function(name: str) -> None:
    make, pairs = NETWORKS[name]
    classifier = prepare(Classifier(lively(make()), mean=0.5, std=0.5, head="softmax").double())
    side = 224 if "vit" in name else 64
    x = torch.rand(2, 3, side, side, dtype=torch.float64)
    with torch.no_grad():
        before = classifier(x)
        assert fold(classifier.network, classifier, x) == pairs
        torch.testing.assert_close(classifier(x), before, rtol=1e-9, atol=1e-9)


class Shared(nn.Module):
    """One convolution before two normalisations: neither may be folded."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.one, self.two = nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.conv(self.one(self.conv(x)))).mean((2, 3))


class Read(nn.Module):
    """Something else reads what the convolution gives."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 64, 3, padding=1), nn.BatchNorm2d(64)
        self.head = nn.Linear(64, 2)

    def forward(self, x: Tensor) -> Tensor:
        found = self.conv(x)
        return self.head((self.norm(found).relu() + found).mean((2, 3)))


def test_what_cannot_be_folded_is_left() -> None:
    classifier = prepare(Classifier(lively(Shared()), head="softmax"))
    x = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        before = classifier(x)
        assert fold(classifier.network, classifier, x) == 0
        assert torch.equal(classifier(x), before)
    read = prepare(Classifier(lively(Read()), head="softmax"))
    found = float32_copy(read, torch.rand(2, 3, 160, 160))
    assert found is not None and found[1] == 0  # seen by comparing the outputs


def test_small_networks_and_float64_run_as_they_are() -> None:
    small = prepare(Classifier(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), head="softmax"))
    for classifier, x in (
        (small, torch.rand(4, 3, 2, 2)),
        (small.double(), torch.rand(4, 3, 2, 2).double()),
    ):
        models = make_fast_models(classifier, x)
        assert (
            models.float32 is classifier
            and models.low_precision is None
            and models.acceleration == Acceleration()
        )


def test_the_choice_follows_the_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = prepare(
        Classifier(lively(torchvision.models.resnet18(num_classes=2)), head="softmax")
    )
    x = torch.rand(2, 3, 96, 96)
    seconds = {"original": 3.0, "float32": 2.0, "bfloat16": 1.0}
    monkeypatch.setattr(accelerate, "measure_passes", lambda ways, x: {k: seconds[k] for k in ways})
    with torch.no_grad():
        both = make_fast_models(classifier, x)
        assert both.low_precision is not None and both.acceleration == Acceleration(
            20, True, True, 3.0
        )
        wanted = classifier(x)
        torch.testing.assert_close(both.float32(x), wanted, rtol=1e-4, atol=1e-4)
        assert float((both.low_precision(x) - wanted).abs().max()) < 0.1 * float(wanted.abs().max())
        single = make_fast_models(classifier, x, "float32")
        assert single.low_precision is None and single.acceleration == Acceleration(
            20, True, False, 1.5
        )
        seconds["bfloat16"] = 1.9
        assert make_fast_models(classifier, x).low_precision is None
        assert make_fast_models(classifier, x, "bfloat16").low_precision is not None
        seconds["float32"], seconds["bfloat16"] = 2.99, 2.95
        assert make_fast_models(classifier, x).float32 is classifier


def test_what_was_measured_is_kept_with_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = prepare(
        Classifier(lively(torchvision.models.resnet18(num_classes=2)), head="softmax")
    )
    x = torch.rand(2, 3, 96, 96)
    seconds = {"original": 3.0, "float32": 2.0, "bfloat16": 1.0}
    monkeypatch.setattr(accelerate, "measure_passes", lambda ways, x: {k: seconds[k] for k in ways})
    store = RunStore(tmp_path)
    first = make_mixed_precision_attacker(classifier, x, "auto", store)
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
    goal = Goal("error", ())
    b = batch(classifier, x)
    alone = MixedPrecisionAttacker(classifier, FastModels(low, None, Acceleration()))
    assert not any(o.success for o in alone.run(cell, b, goal, 0)[1])
    both = MixedPrecisionAttacker(
        classifier, FastModels(found[0], low, Acceleration(0, True, True, 2.0))
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
        classifier, FastModels(classifier, agreeing, Acceleration(0, True, True, 2.0))
    )
    assert not any(o.success for o in found.run(cell, b, Goal("error", ()), 0)[1])


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
    x_adv, outcomes = attacker.run(cell, batch(classifier, x), Goal("error", ()), 0)
    assert attacker.most <= 4 and [o.row for o in outcomes] == list(range(13))
    classifier.network.most = 100  # type: ignore[union-attr]
    roomy = MixedPrecisionAttacker(classifier, FastModels(classifier, None, Acceleration()))
    assert torch.equal(roomy.run(cell, batch(classifier, x), Goal("error", ()), 0)[0], x_adv)
    classifier.network.most = 0  # type: ignore[union-attr]
    with pytest.raises(OutOfMemory, match="memory ran out on a batch of 1"):
        roomy.run(cell, batch(classifier, x), Goal("error", ()), 0)


def test_a_curve_cell_leaves_the_fallen_alone() -> None:
    torch.manual_seed(0)
    classifier = prepare(
        Classifier(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), head="softmax").double()
    )
    b = batch(classifier, torch.rand(40, 1, 8, 8, dtype=torch.float64))
    attacker = MixedPrecisionAttacker(classifier, FastModels(classifier, None, Acceleration()))
    threat = ThreatModel("Linf", 0.05)
    full = attacker.run(Cell("PGD", PGD(), threat, exact=True), b, Goal("error", ()), 0)[1]
    curve = attacker.run(Cell("PGD", PGD(), threat, exact=False), b, Goal("error", ()), 0)[1]
    assert [o.success for o in full] == [o.success for o in curve]
    assert sum(o.success for o in full) > 0
    assert curve[0].passes < 0.8 * full[0].passes
