"""Which networks can be read, and that the graph is the network, its preprocessing and head."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attacks.streams import Streams
from robust.certificates.bounds.network_reading import (
    check_network,
    read_cases,
    read_network,
    reading_once,
)
from robust.certificates.exact import ExactBounds
from robust.certificates.interval_bounds import IntervalBounds
from robust.certificates.linear_relaxation import CROWN
from robust.errors import InputError
from robust.models.adapter import odds
from robust.models.classifier import Classifier
from tests.certificates.networks import SOME_SLOW, box_of, radius, trained_network


def linear(inputs: int, outputs: int, seed: int = 0) -> nn.Sequential:
    layer = nn.Linear(inputs, outputs).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(outputs, inputs, generator=generator) / 3)
        layer.bias.zero_()
    return nn.Sequential(nn.Flatten(), layer)


def centred(model: Classifier, shape: tuple[int, ...], n: int = 3) -> tuple[Tensor, Tensor]:
    """Images within reach of the boundary of two classes, and m / |gradient| of each."""
    x = torch.rand(n, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x = (0.45 + 0.1 * x).requires_grad_()
    logits = model(x)
    margin = logits[:, 1] - logits[:, 0]
    (slope,) = torch.autograd.grad(margin.sum(), x)
    return x.detach(), (margin.abs() / slope.abs().flatten(1).sum(1)).detach()


HEADS: list[Any] = [
    pytest.param({"head": "softmax"}, marks=pytest.mark.slow),  # as that of the trained networks
    {"head": "softmax", "threshold": 0.4},
    {"head": "sigmoid", "threshold": 0.6},
    {"head": "multilabel", "finding": 2, "threshold": 0.45},
]


@pytest.mark.parametrize("fields", HEADS, ids=lambda f: " ".join(map(str, f.values())))
def test_a_bound_is_on_the_decision_at_the_threshold(fields: dict[str, Any]) -> None:
    outputs = {"softmax": 2, "sigmoid": 1, "multilabel": 4}[fields["head"]]
    model = Classifier(linear(16, outputs), **fields).double().eval()
    x, truth = centred(model, (1, 4, 4))
    with reading_once():
        found, graph = radius(CROWN(), model, x), read_network(model, (1, 4, 4))
    assert torch.allclose(found, truth, rtol=1e-7)
    if "threshold" in fields:
        shift = graph.forward(x) - model.to_logits(model.outputs(x))
        assert torch.allclose(shift[:, 1], torch.tensor(-odds(fields["threshold"])).double())


PREPROCESSING: list[Any] = [
    ({"channels": 3, "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)}, (1, 6, 6), 108),
    # The last one has one channel of three, the first a mean and a deviation.
    pytest.param({"channels": 1, "mean": 0.5, "std": 0.25}, (3, 6, 6), 36, marks=pytest.mark.slow),
    ({"size": (4, 6)}, (1, 7, 7), 24),
    ({"size": 8, "interpolation": "bicubic", "fit": "crop", "crop_pct": 0.8}, (1, 9, 6), 64),
    ({"size": 5, "interpolation": "nearest", "fit": "pad", "channels": 1}, (3, 8, 4), 25),
]


@pytest.mark.parametrize(("fields", "shape", "inputs"), PREPROCESSING)
def test_the_preprocessing_is_part_of_the_proof(
    fields: dict[str, Any], shape: tuple[int, ...], inputs: int
) -> None:
    """A linear network stays linear, in the interior of the box: m over the whole chain's slope."""
    model = Classifier(linear(inputs, 2), head="softmax", **fields).double().eval()
    x, truth = centred(model, shape)
    found = radius(CROWN(), model, x)
    if fields.get("interpolation") == "bicubic":  # clipped to [0, 1], which linear bounds relax
        assert bool((found <= truth * (1 + 1e-9)).all() and (found > 0.5 * truth).all())
    else:
        assert torch.allclose(found, truth, rtol=1e-7)
        assert bool((found <= truth).all())


@pytest.mark.parametrize("kind", SOME_SLOW)
def test_the_graph_is_the_network_within_the_error_of_rounding(kind: str) -> None:
    model, x = trained_network(kind, 3)
    single = Classifier(copy.deepcopy(model.network).float(), head="softmax").eval()
    cases = read_cases(single, x.float())
    box = box_of(cases.x, 0.0)
    with torch.no_grad():
        apart = (single(x.float()).double() - cases.graph.forward(cases.x)).abs()
    assert 0 < float(apart.max()) < 1e-5 and box.low.shape == x.shape


class Cancels(nn.Module):
    """Exactly x + 0.25, as 1e6 + x + 0.25 - 1e6: at float32 a sixteenth is the smallest step."""

    def __init__(self) -> None:
        super().__init__()
        self.there, self.back = nn.Linear(1, 1), nn.Linear(1, 1)
        with torch.no_grad():
            for layer, bias in ((self.there, 1e6 + 0.25), (self.back, -1e6 - 0.25)):
                layer.weight.fill_(1.0)
                layer.bias.fill_(bias)

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.back(self.there(x.flatten(1))) - 0.49
        return torch.cat([-z, z], 1)


@pytest.mark.parametrize("certificate", [IntervalBounds(), CROWN(), ExactBounds()])
def test_nothing_is_proven_where_rounding_may_change_the_class(certificate: Any) -> None:
    """In exact arithmetic the boundary is at .49; at float32 images from .47 to .53 look alike."""
    model = Classifier(Cancels(), head="softmax").eval()
    x = torch.tensor([0.49 + 1e-3, 0.9]).view(2, 1, 1, 1)
    proven = certificate(model, x, Streams.of(0, [0, 1]))
    assert float(proven.radius[0]) == 0
    # The second is .41 away from the boundary, of which float32 may take several steps.
    assert float(proven.radius[1]) < 0.35
    grid = torch.linspace(0.9 - float(proven.radius[1]), 1, 1001).view(-1, 1, 1, 1)
    assert torch.equal(model(grid).argmax(1), proven.predicted[1].expand(1001))
    exact = certificate(model.double(), x.double(), Streams.of(0, [0, 1]))
    assert float(exact.radius[0]) == pytest.approx(1e-3, abs=3e-5)


class Peeks(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        z = x.flatten(1)[:, :2]
        return z if float(x.mean()) > 0.5 else -z


class Mixes(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :2] - x.mean(0).flatten()[:2]


class Squares(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :2] * x.flatten(1)[:, 2:4]


UNREADABLE: list[tuple[nn.Module, str]] = [
    (nn.Sequential(nn.Flatten(), nn.Linear(16, 2), nn.GELU()), r"layer 2 \(GELU, operation gelu\)"),
    (nn.Sequential(nn.ConvTranspose2d(1, 2, 1), nn.Flatten()), r"layer 0 \(ConvTranspose2d"),
    (nn.Sequential(nn.Flatten(), nn.Softmax(1)), r"layer 1 \(Softmax"),
    (Peeks(), "torch does not export it"),
    (Mixes(), "it mixes the images of a batch"),
    (Squares(), r"operation mul\): it combines images in a way that is not affine"),
]


@pytest.mark.parametrize(("network", "message"), UNREADABLE)
def test_what_cannot_be_read_is_named_in_one_line(network: nn.Module, message: str) -> None:
    model = Classifier(network, head="softmax").eval()
    with pytest.raises(InputError, match=message) as caught:
        radius(IntervalBounds(), model, torch.rand(2, 1, 4, 4))
    assert "\n" not in str(caught.value)
    if "can through" in str(caught.value):
        assert "Linear, Conv2d, BatchNorm, ReLU" in str(caught.value)


def test_volumes_and_probabilities_are_refused() -> None:
    volume = Classifier(nn.Sequential(nn.Conv3d(1, 2, 2), nn.Flatten()), head="softmax").eval()
    with pytest.raises(InputError, match="the cases are volumes"):
        CROWN().check(volume)
    with pytest.raises(InputError, match="the cases are volumes"):
        radius(CROWN(), volume, torch.rand(1, 1, 2, 2, 2))
    model = Classifier(nn.Sequential(linear(16, 2), nn.Softmax(1)), head="probabilities").eval()
    with pytest.raises(InputError, match="have it return what comes before its softmax"):
        CROWN().check(model)


def test_a_network_is_checked_before_any_image_is_there() -> None:
    check_network(Classifier(linear(28 * 28, 2), head="softmax"))
    check_network(Classifier(linear(3 * 28 * 28, 2), head="softmax"))
    check_network(Classifier(linear(16, 2), head="softmax", size=4, channels=1))
    bad = nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(InputError, match=r"layer 1 \(SiLU, operation silu\)"):
        CROWN().check(Classifier(bad, head="softmax").eval())


def test_a_network_is_read_once_for_each_shape_within_its_block_alone() -> None:
    model = Classifier(linear(16, 2), head="softmax", size=4, channels=1).double().eval()
    with reading_once():
        first = read_network(model, (1, 4, 4))
        assert read_network(model, (1, 4, 4)) is first
        other = read_network(model, (1, 5, 5))
        assert other is not first and other.nodes[0].shape == (1, 5, 5)
    assert read_network(model, (1, 4, 4)) is not first


def test_a_network_that_is_random_is_refused() -> None:
    class Shakes(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1) + torch.rand(16)

    with pytest.raises(InputError, match=r"operation|more than rounding explains"):
        radius(CROWN(), Classifier(Shakes(), head="softmax"), torch.rand(2, 1, 4, 4))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: IntervalBounds(tolerance=0), "tolerance must be between 1e-6 and 0.5, not 0"),
        (lambda: CROWN(tolerance=math.nan), "tolerance must be between"),
        (lambda: CROWN(intermediate="ibp"), "intermediate must be crown or interval, not 'ibp'"),
        (lambda: ExactBounds(most_units=0), "most_units must be 1 or more, not 0"),
    ],
)
def test_values_out_of_range_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_network_too_large_for_the_solver_is_refused() -> None:
    model, x = trained_network("dense", 2)
    with pytest.raises(InputError, match=r"this one has 14 ReLUs.*most_units = 13; use CROWN"):
        radius(ExactBounds(most_units=13), model, x)
