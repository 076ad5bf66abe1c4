"""Straight-through gradients: those of the network without what rounds, predictions untouched."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attacks import PGD, Streams, ThreatModel
from robust.auditing import audit
from robust.errors import InputError
from robust.models import Classifier, Segmenter, prepare
from robust.models.acceleration.accelerate import float32_copy
from robust.models.acceleration.low_precision import low_precision_copy
from robust.records import Report
from tests.diagnostics.defects import Detached
from tests.engine.nets import phantoms, trained
from tests.toys import fooled, linear_cases

LEVELS = 15.0


class Before(nn.Module):
    """A function of the image before a network."""

    def __init__(self, function: Callable[[Tensor], Tensor], network: nn.Module) -> None:
        super().__init__()
        self.function, self.network = function, network

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.network(self.function(x))
        return out


def in_place(x: Tensor) -> Tensor:
    scaled = x * LEVELS
    scaled.round_()
    return scaled / LEVELS


def fake(x: Tensor) -> Tensor:
    return torch.fake_quantize_per_tensor_affine(x, 1 / LEVELS, 0, 0, 12)


FUNCTIONS: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {
    "torch.round": ("round", lambda x: torch.round(x * LEVELS) / LEVELS),
    "method": ("round", lambda x: (x * LEVELS).round() / LEVELS),
    "decimals": ("round", lambda x: x.round(decimals=1)),
    "named": ("round", lambda x: torch.floor(input=x * LEVELS) / LEVELS),
    "in place": ("round", in_place),
    "division": ("round", lambda x: x // (1 / LEVELS) / LEVELS),
    "rounding mode": ("round", lambda x: x.div(1 / LEVELS, rounding_mode="floor") / LEVELS),
    "fake quantisation": ("quantize", fake),
    "sign": ("sign", lambda x: torch.sign(x - 0.5) + x),
}
SLOPE = {"sign": 2.0}
"""Of what the function is taken for; that of all others is 1."""


def gradient(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    moving = x.clone().requires_grad_()
    out = model(moving)
    (found,) = torch.autograd.grad(out[:, 1].sum(), moving)
    return out.detach(), found


@pytest.mark.parametrize("case", list(FUNCTIONS))
def test_the_gradient_is_that_without_the_function_and_the_values_stay(case: str) -> None:
    name, function = FUNCTIONS[case]
    model, x, _ = linear_cases("free", n=4)
    x = x.float()
    network = Before(function, model.float())
    plain = Classifier(network, head="softmax")
    through = prepare(Classifier(network, head="softmax", straight_through=[name]))
    out, found = gradient(through, x)
    with torch.no_grad():
        assert torch.equal(out, plain(x)) and torch.equal(through(x), plain(x))
    expected = SLOPE.get(case, 1.0) * gradient(Classifier(model, head="softmax"), x)[1]
    assert torch.allclose(found, expected, rtol=1e-5)
    if name == "round" and case != "division":  # which torch gives no gradient of at all
        assert not gradient(plain, x)[1].any()
    assert torch.equal(gradient(copy.deepcopy(through), x)[1], found)


def test_an_attack_reaches_what_it_does_without_rounding() -> None:
    """PGD on a linear model in 16 levels: without gradients it finds nothing."""
    model, x, y = linear_cases("free", n=60)
    model, x = model.float(), (x * LEVELS).round().float() / LEVELS
    with torch.no_grad():
        y = model(x).argmax(1)
    network = Before(FUNCTIONS["method"][1], model)
    threat, accuracy = ThreatModel("Linf", 0.04), {}
    for names in ((), ("round",)):
        attacked = Classifier(network, head="softmax", straight_through=names)
        streams = Streams.of(0, range(len(x)))
        x_adv = PGD(loss="margin", start="image")(attacked, x, y, threat, streams)
        accuracy[names] = float((~fooled(attacked, x_adv, y)).double().mean())
    assert accuracy["round",] < 0.5 < 1 == accuracy[()]


class Squeeze(nn.Module):
    """JPEG of each channel, outside torch."""

    def forward(self, x: Tensor) -> Tensor:
        seen: dict[str, Tensor] = {}

        def kept(z: Tensor) -> Tensor:
            seen["z"] = z
            return z

        rgb = x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x
        Detached(kept)(rgb)  # type: ignore[arg-type]
        return seen["z"][:, : x.shape[1]].to(x) + 0 * x


class JPEGInput(Squeeze):
    """Found by its name."""


OPTIONS: dict[str, Any] = {
    "attacks": ["BIM"],
    "eps": ["8/255"],
    "doubts": {"probe": False},
    "gallery": 0,
}


@pytest.fixture(scope="module")
def plain() -> Report:
    """An audit that sees no gradient through the JPEG inside."""
    network = nn.Sequential(Squeeze(), trained(28))
    return audit(Classifier(network, channels=1), phantoms(40), **OPTIONS)


@pytest.mark.parametrize("names", [["jpeg"], ["0"]])
def test_jpeg_inside_the_model_is_attacked_through(
    names: list[str], plain: Report, tmp_path: Path
) -> None:
    network = nn.Sequential(JPEGInput() if names == ["jpeg"] else Squeeze(), trained(28))
    through = Classifier(network, channels=1, straight_through=names)
    report = audit(through, phantoms(40), out=tmp_path, **OPTIONS)
    blind, seen = (r.worst.robust_accuracy for r in (plain, report))
    assert blind is not None and seen is not None
    assert seen.value < blind.value - 0.3
    assert report.clean.scores == plain.clean.scores
    (flag,) = [f for f in report.flags if f.name == "gradients replaced"]
    assert names[0] in flag.observed
    assert report.model.straight_through == tuple(names)
    assert not [f for f in plain.flags if f.name == "gradients replaced"]
    # Another way to attack is another run.
    with pytest.raises(InputError, match="--out"):
        audit(Classifier(network, channels=1), phantoms(40), out=tmp_path, **OPTIONS)


def test_the_faster_copies_pass_gradients_too() -> None:
    inside = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 8),
        nn.Linear(8, 2),
    )
    network = Before(FUNCTIONS["method"][1], inside)
    ready = prepare(Classifier(network, head="softmax", straight_through=["round"]))
    x = torch.rand(2, 3, 8, 8)
    found = float32_copy(ready, x)
    assert found is not None and found[1] == 1
    low = low_precision_copy(found[0], x)
    assert low is not None
    expected = gradient(ready, x)[1]
    assert expected.any()
    assert torch.allclose(gradient(found[0], x)[1], expected, atol=1e-6)  # type: ignore[arg-type]
    error = (gradient(low, x)[1] - expected).norm() / expected.norm()  # type: ignore[arg-type]
    assert float(error) < 0.1


def test_a_segmenter_passes_gradients_too() -> None:
    network = Before(FUNCTIONS["method"][1], nn.Conv2d(1, 2, 1))
    segmenter = Segmenter(network, head="softmax", straight_through=["round"])
    assert gradient(segmenter, torch.rand(2, 1, 8, 8))[1].any()
    assert segmenter.describe()["straight_through"] == ["round"]
    assert "straight_through" not in Segmenter(network, head="softmax").describe()


class Halving(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, ::2]


class Bytes(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


class Cast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Bytes()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner((x * 255).to(torch.uint8)) / 255
        return out


@pytest.mark.parametrize(
    ("first", "names", "says"),
    [
        (nn.Identity(), ["rond"], "the network has no module 'rond'; did you mean round\\?"),
        (nn.Identity(), ["1.encod"], "no module '1.encod'"),
        (nn.Identity(), ["jpeg"], "no module of the network is of a class with JPEG"),
    ],
)
def test_wrong_names_are_refused_in_one_line(first: Any, names: list[str], says: str) -> None:
    with pytest.raises(InputError, match=says) as raised:
        Classifier(nn.Sequential(first, nn.Flatten()), straight_through=names)
    assert "\n" not in str(raised.value)


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_torchscript_is_refused() -> None:
    with pytest.raises(InputError, match="cannot look into TorchScript"):
        Classifier(torch.jit.script(nn.Flatten()), straight_through=["round"])


@pytest.mark.parametrize(
    ("first", "names", "says"),
    [
        (nn.Identity(), ["round"], "straight_through = 'round' changes nothing"),
        (Halving(), ["0"], "the identity keeps type and shape"),
        (Cast(), ["0.inner"], "given torch.uint8, which has no gradient; name the module around"),
    ],
)
def test_what_cannot_be_passed_is_told_before_an_attack(
    first: nn.Module, names: list[str], says: str
) -> None:
    network = nn.Sequential(first, nn.AdaptiveAvgPool2d(28), trained(28))
    model = Classifier(network, channels=1, straight_through=names)
    with pytest.raises(InputError, match=says) as raised:
        audit(model, phantoms(8), attacks=["FGSM"], eps=["1/255"])
    assert "\n" not in str(raised.value)


def test_an_exported_program_calls_the_same_functions_by_other_names() -> None:
    network = Before(FUNCTIONS["method"][1], nn.Flatten())
    x = torch.rand(2, 1, 2, 2)
    program = torch.export.export(network, (x,)).module()
    through = Classifier(program, head="softmax", straight_through=["round"])
    assert bool((gradient(through, x)[1].flatten(1)[:, 1] == 1).all())
