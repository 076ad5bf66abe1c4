"""Dropout uncertainty: its variance in closed form, and a network left as it was."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

from detectors.bayesian_uncertainty import uncertainty
from detectors.features import dropout_layers
from robust.models import Classifier
from tests.detectors.draws import network


def test_dropout_passes_leave_the_network_as_it_was() -> None:
    model, x = network(), torch.rand(6, 1, 16, 16)
    before = model(x)
    state = torch.random.get_rng_state()
    first = uncertainty(model, x, passes=20, seed=3)
    assert first.shape == (6, 1) and bool((first > 0).all())
    assert torch.equal(first, uncertainty(model, x, passes=20, seed=3))
    assert not torch.equal(first, uncertainty(model, x, passes=20, seed=4))
    assert torch.allclose(first[2:3], uncertainty(model, x[2:3], passes=20, seed=3), rtol=1e-4)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(model(x), before)
    assert sum(len(m._forward_hooks) for m in model.modules()) == 0
    with pytest.raises(ValueError, match="this one has none"):
        uncertainty(nn.Sequential(nn.Flatten(), nn.Linear(256, 2)), x, passes=2)


def test_units_are_dropped_at_their_rate_and_the_rest_makes_up_for_them() -> None:
    """Against the variance of a single linear layer under dropout, known in closed form."""
    torch.manual_seed(0)
    p, a = 0.25, torch.rand(1, 8, dtype=torch.float64) * 0.02
    weight = torch.randn(2, 8, dtype=torch.float64)
    model = nn.Sequential(nn.Dropout(p), nn.Linear(8, 2, bias=False).double()).eval()
    model[1].weight.data = weight  # type: ignore[union-attr]
    # The logits' difference is small, so that the probability is linear in it: p ~ 1/2 + d/4.
    spread = ((weight[1] - weight[0]) * a[0]).square().sum() * p / (1 - p)
    found = float(uncertainty(model, a, passes=4000, seed=0).detach())
    assert found == pytest.approx(2 * float(spread) / 16, rel=0.1)


class Counted(nn.Module):
    """A network that counts what it computes."""

    def __init__(self, head: nn.Module, writes: bool = False) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(inplace=True))
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head, self.writes, self.computed = head, writes, 0
        self.features[0].register_forward_hook(self.count)

    def count(self, *_: object) -> None:
        self.computed += 1

    def forward(self, x: Tensor) -> Tensor:
        seen = self.pool(self.features(x))
        if self.writes:
            seen *= 1.5
        out: Tensor = self.head(seen)
        return out


class Residual(nn.Module):
    """Adds to what dropout has changed what it has not."""

    def __init__(self) -> None:
        super().__init__()
        self.drop, self.head = nn.Dropout(0.3), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.drop(x) + x)
        return out


def heads() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    lone = nn.Sequential(nn.Dropout(0.2), nn.Linear(8, 3))
    two = nn.Sequential(
        *(nn.Linear(8, 9), nn.ReLU(), nn.Dropout(), nn.Linear(9, 7)),
        *(nn.ReLU(), nn.Dropout(0.1), nn.Linear(7, 3)),
    )
    shared = nn.Dropout()
    twice = nn.Sequential(shared, nn.Linear(8, 5), nn.Tanh(), shared, nn.Linear(5, 3))
    return {"lone": lone, "two": two, "twice": twice, "residual": Residual()}


def one_by_one(model: nn.Module, x: Tensor, passes: int, seed: int) -> Tensor:
    """The uncertainty by its formula: a pass for each draw, its masks in the order of the layers."""
    draw = torch.Generator().manual_seed(seed)

    def drop(module: nn.Dropout, args: tuple[Tensor], out: Tensor) -> Tensor:
        return args[0] * (torch.rand(out.shape[1:], generator=draw) >= module.p) / (1 - module.p)

    hooks = [layer.register_forward_hook(drop) for layer in dropout_layers(model)]
    found = torch.stack([model(x).softmax(1) for _ in range(passes)])
    for hook in hooks:
        hook.remove()
    return found.var(0).sum(1, keepdim=True)


def check_against_the_formula(model: nn.Module) -> None:
    x = torch.rand(5, 1, 9, 9, requires_grad=True)
    found, expected = uncertainty(model, x, passes=12, seed=5), one_by_one(model, x, 12, 5)
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-8)
    slopes = [torch.autograd.grad(value.sum(), x)[0] for value in (found, expected)]
    assert torch.allclose(*slopes, rtol=1e-3, atol=1e-8)
    assert all("forward" not in vars(module) for module in model.modules())


@pytest.mark.parametrize("name", heads())
@pytest.mark.parametrize("adapted", [False, True])
def test_what_lies_before_dropout_is_computed_once(name: str, adapted: bool) -> None:
    torch.manual_seed(1)
    network = Counted(heads()[name]).eval()
    model = Classifier(network, head="softmax", channels=1) if adapted else network
    uncertainty(model, torch.rand(5, 1, 9, 9), passes=12)
    assert network.computed == 2  # once without dropout, to see in which order layers run
    check_against_the_formula(model)


def test_a_network_that_writes_to_what_its_layers_return() -> None:
    torch.manual_seed(1)
    check_against_the_formula(Counted(heads()["lone"], writes=True).eval())


def test_layers_behind_the_first_dropout_compute_in_every_pass() -> None:
    torch.manual_seed(1)
    network = Counted(nn.Linear(8, 3))
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Dropout(0.1), network).eval()
    uncertainty(model, torch.rand(4, 1, 9, 9), passes=12)
    assert network.computed == 1 + 12 + 1
    check_against_the_formula(model)


def test_other_threads_compute_on_their_own() -> None:
    torch.manual_seed(1)
    network, images = Counted(heads()["two"]).eval(), torch.rand(8, 1, 9, 9)
    expected = [uncertainty(network, one[None], passes=12) for one in images]
    plain = [network(one[None]) for one in images]

    def both(i: int) -> tuple[Tensor, Tensor]:
        return uncertainty(network, images[i : i + 1], passes=12), network(images[i : i + 1])

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(both, [*range(8)] * 4))
    for i, (value, logits) in enumerate(found):
        assert torch.allclose(value, expected[i % 8], rtol=1e-4)
        assert torch.allclose(logits, plain[i % 8], rtol=1e-4)
