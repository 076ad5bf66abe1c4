"""Bags of instances: closed forms of mean pooling, enumeration for max, attention, blank tiles."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from attacks import PGD, Streams, ThreatModel
from robust.engine.touch.instances import FewInstances
from robust.errors import InputError
from robust.models import Classifier, load_classifier
from robust.models.classifier import in_bags
from robust.models.networks.bags import (
    AttentionPooling,
    BagNetwork,
    MaxPooling,
    MeanPooling,
    cut_instances,
    instance_pixels,
)
from robust.tasks.bags import BagLimits
from tests.toys import Linear

TILE = (4, 4)


def linear_instance(seed: int = 0) -> tuple[Linear, Tensor]:
    """Log odds w x + b of an instance of 4 x 4 grey pixels, undecided on mid-grey."""
    weight = torch.randn(1, 16, generator=torch.Generator().manual_seed(seed))
    return Linear(weight, -0.5 * weight.sum(1)), weight


def bag_of(count: int, seed: int = 1) -> Tensor:
    """Interior of the box, so that eps never meets it: `(1, 1, 4 count, 4)`."""
    generator = torch.Generator().manual_seed(seed)
    return 0.3 + 0.4 * torch.rand(1, 1, 4 * count, 4, generator=generator)


def succeeds(model: nn.Module, x: Tensor, eps: float, most: int | None) -> bool:
    with torch.no_grad():
        y = model(x).argmax(1)
    attack = PGD(steps=10, step_size=0.5, start="image")
    limited = attack if most is None else FewInstances(attack, BagLimits(TILE, most))
    streams = Streams.of(0, ["bag"], "test")
    x_adv = limited(model, x, y, ThreatModel("Linf", eps), streams, None)
    assert (x_adv - x).abs().max() <= eps + 1e-6
    assert most is None or BagLimits(TILE, most).violations(x_adv, x) == [None]
    with torch.no_grad():
        return bool(model(x_adv).argmax(1) != y)


@pytest.mark.parametrize("most", [None, 1, 2, 4])
def test_mean_pooling_of_a_linear_model_falls_at_the_radius_of_the_closed_form(
    most: int | None,
) -> None:
    instance, weight = linear_instance()
    model, x, count = BagNetwork(instance, "mean", TILE), bag_of(5), 5
    with torch.no_grad():
        logits = model(x)[0]
    margin = float((logits[1] - logits[0]).abs())
    radius = count * margin / ((most or count) * float(weight.abs().sum()))
    assert radius < 0.3  # inside the box
    assert succeeds(model, x, 1.01 * radius, most)
    assert not succeeds(model, x, 0.99 * radius, most)


def at_odds(*odds: float) -> Tensor:
    """A bag whose instances have these log odds under `linear_instance`."""
    _, weight = linear_instance()
    direction = (weight / weight.square().sum()).view(1, 1, 4, 4)
    return torch.cat([0.5 + one * direction for one in odds], 2)


@pytest.mark.parametrize(
    ("odds", "needed"),
    [
        ((0.3, -0.5, -0.4, -0.6), 1),  # one positive instance: that one falls, and the bag
        ((0.3, 0.2, -0.4, -0.6), 2),  # all positive ones must fall
        ((0.3, 0.2, 0.25, -0.6), 3),
        ((-0.3, -0.5, -0.4, -0.6), 1),  # a negative bag: one instance is enough
    ],
)
def test_max_pooling_falls_with_as_many_instances_as_enumeration_says(
    odds: tuple[float, ...], needed: int
) -> None:
    instance, weight = linear_instance()
    model, x = BagNetwork(instance, "max", TILE), at_odds(*odds)
    eps = 0.35 / float(weight.abs().sum())  # moves every log odds by 0.35 at most
    sign = -1 if max(odds) > 0 else 1
    fall = [
        k
        for k in range(1, 5)
        for places in itertools.combinations(range(4), k)
        if (max(o + sign * 0.35 * (i in places) for i, o in enumerate(odds)) > 0) != (max(odds) > 0)
    ]
    assert min(fall) == needed
    for most in range(1, 5):
        assert succeeds(model, x, eps, most) == (most >= needed)


def test_greedy_choice_of_many_instances_is_that_of_the_closed_form() -> None:
    instance, weight = linear_instance()
    model, x, count, most = BagNetwork(instance, "mean", TILE), bag_of(12), 12, 5
    with torch.no_grad():
        logits = model(x)[0]
    margin = float((logits[1] - logits[0]).abs())
    radius = count * margin / (most * float(weight.abs().sum()))
    assert succeeds(model, x, 1.01 * radius, most) and not succeeds(model, x, 0.99 * radius, most)


def attention(seed: int = 0) -> AttentionPooling:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return AttentionPooling(3, 4, 2).double()


def test_gradient_of_attention_is_that_of_finite_differences() -> None:
    said = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    present = torch.tensor([[True] * 5, [True, True, False, True, False]])
    pooling = attention()
    assert torch.autograd.gradcheck(lambda z: pooling(z, present), said.requires_grad_())
    (gradient,) = torch.autograd.grad(pooling(said, present).sum(), said)
    assert not gradient[~present].any() and bool(gradient[present].any())
    weights = pooling.weights(said, present)
    assert torch.allclose(weights.sum(1), torch.ones(2, dtype=torch.float64))
    assert not weights[~present].any()


@pytest.mark.parametrize("pooling", [MeanPooling(), MaxPooling(), attention()])
def test_pooling_knows_no_order_and_no_absent_instance(pooling: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    width = 3 if isinstance(pooling, AttentionPooling) else 2
    said = torch.randn(2, 6, width, generator=generator, dtype=torch.float64)
    present = torch.ones(2, 6, dtype=torch.bool)
    order = torch.randperm(6, generator=generator)
    whole = pooling(said, present)
    assert torch.allclose(pooling(said[:, order], present), whole, atol=1e-12)
    more = torch.cat([said, torch.full_like(said, 1e6)], 1)
    masked = torch.cat([present, ~present], 1)
    assert torch.allclose(pooling(more, masked), whole, atol=1e-12)


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_a_bag_of_one_instance_is_its_classifier_to_the_bit(pooling: str) -> None:
    instance = Classifier(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 2)),
        mean=0.4,
        std=0.2,
        channels=3,
        size=8,
        head="softmax",
    ).eval()
    x = torch.rand(3, 1, 4, 4)
    bags = in_bags(instance, pooling, 4).eval()
    with torch.no_grad():
        assert torch.equal(bags(x), instance(x))
        blank = torch.cat([x, torch.zeros_like(x)], 2)
        assert torch.allclose(bags(blank), instance(x), rtol=0, atol=0)
        assert not torch.equal(bags(torch.cat([x, x.flip(2)], 2)), instance(x))


def test_instances_are_the_tiles_row_by_row() -> None:
    x = torch.arange(2 * 4 * 6.0).view(1, 2, 4, 6)
    tiles = cut_instances(x, (2, 3))
    assert torch.equal(tiles[0, 1], x[0, :, :2, 3:]) and torch.equal(tiles[0, 2], x[0, :, 2:, :3])
    kept = torch.tensor([[False, True, False, False]])
    where = instance_pixels(kept, x, (2, 3))
    assert where[0, 0, :2, 3:].all() and int(where.sum()) == 6
    with pytest.raises(InputError, match="no whole number of instances of 3x3"):
        cut_instances(x, (3, 3))


def test_what_is_no_bag_is_one_line() -> None:
    with pytest.raises(InputError, match="attention pooling has weights of its own"):
        BagNetwork(nn.Flatten(), "attention", 4)
    with pytest.raises(InputError, match="two classes, and the network has 3"):
        MaxPooling()(torch.zeros(1, 2, 3), torch.ones(1, 2, dtype=torch.bool))
    plain = Classifier(nn.Flatten(), head="auto")
    with pytest.raises(InputError, match="head = 'softmax'"):
        in_bags(plain, "mean", 4)
    fine = in_bags(Classifier(nn.Flatten(), head="softmax"), "mean", 4)
    with pytest.raises(InputError, match="reads bags already"):
        in_bags(fine, "mean", 4)
    with pytest.raises(InputError, match="needs to know how"):
        load_classifier(factory="tests.models.networks.test_bags:a_factory", bag={"tile": 4})


def a_factory() -> nn.Module:
    return nn.Flatten()
