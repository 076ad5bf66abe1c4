"""Neither the zero nor the scale of the logits makes a model look robust."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attacks import BIM, FGSM, PGD, Attack, CarliniWagnerL2, MarginPGD, ThreatModel
from tests.attacks.cases import EVERY, images, make, streams
from tests.toys import Linear, Then, fooled, patterns, trained

QUICK = CarliniWagnerL2(steps=25, binary_steps=5)


SEARCHES: list[tuple[str, Attack, float]] = [
    ("Linf", FGSM(), 0.05),
    ("L2", FGSM(), 0.5),
    ("Linf", BIM(), 0.05),
    ("L2", BIM(), 0.5),
    ("Linf", PGD(), 0.05),
    ("L2", PGD(), 0.5),
    ("Linf", MarginPGD(), 0.05),
    ("L2", QUICK, math.inf),
]


"""Sizes at which a part of the cases of `patterns` falls, not all."""


def won(attack: Attack, model: nn.Module, x: Tensor, y: Tensor, norm: str, eps: float) -> Tensor:
    return fooled(model, attack(model, x, y, ThreatModel(norm, eps), streams(x)), y)


def shifted(constant: float) -> Callable[[Tensor], Tensor]:
    return lambda logits: logits + constant


def scaled(factor: float) -> Callable[[Tensor], Tensor]:
    return lambda logits: logits * factor


@pytest.mark.parametrize(("norm", "attack", "eps"), SEARCHES)
def test_a_constant_added_to_all_logits_changes_nothing(
    norm: str, attack: Attack, eps: float
) -> None:
    """torchattacks compares with max((1 - onehot) logits) >= 0, and so depends on the zero."""
    model, x, y = patterns(5)
    plain = won(attack, model, x, y, norm, eps)
    for constant in (-100.0, 100.0):
        assert torch.equal(won(attack, Then(model, shifted(constant)), x, y, norm, eps), plain)
    if not math.isinf(eps):
        assert 0 < int(plain.sum()) < len(plain)
    model, x = model.double(), x[:12].double()
    threat = ThreatModel(norm, eps)
    one = attack(model, x, y[:12], threat, streams(x))
    for constant in (-100.0, 100.0):
        other = attack(Then(model, shifted(constant)), x, y[:12], threat, streams(x))
        assert torch.allclose(one, other, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("norm", "attack", "eps"), SEARCHES)
def test_all_logits_negative(norm: str, attack: Attack, eps: float) -> None:
    model, x, y = patterns(5)
    negative = Then(model, lambda logits: logits.log_softmax(1) - 3)
    assert bool((negative(x) < 0).all())
    assert int(won(attack, negative, x, y, norm, eps).sum()) >= 1


def accuracy(attack: Attack, factor: float, norm: str, eps: float, classes: int) -> float:
    model, x, y = trained() if classes == 2 else patterns(classes, n=100)
    broken = won(attack, Then(model, scaled(factor)), x, y, norm, eps)
    return 1 - float(broken.double().mean())


@pytest.mark.parametrize("kind", [FGSM, BIM, PGD])
@pytest.mark.parametrize(("norm", "eps"), [("Linf", 0.01), ("L2", 0.12)])
def test_two_logits_times_ten_thousand(norm: str, eps: float, kind: Any) -> None:
    """Cross-entropy's gradient vanishes; without the takeover the model would look robust."""
    plain = accuracy(kind(), 1.0, norm, eps, classes=2)
    assert 0 < plain < 1
    assert accuracy(kind(), 1e4, norm, eps, classes=2) == pytest.approx(plain, abs=0.01)
    assert accuracy(kind(margin_fallback=False), 1e4, norm, eps, classes=2) > plain + 0.1


@pytest.mark.parametrize("start", ["image", "random"])
def test_seven_logits_times_ten_thousand(start: str) -> None:
    """With more classes the margin that takes over has a direction of its own, and is stronger."""
    plain = accuracy(PGD(start=start), 1.0, "Linf", 0.04, classes=7)
    loud = accuracy(PGD(start=start), 1e4, "Linf", 0.04, classes=7)
    by_margin = accuracy(PGD(start=start, loss="margin"), 1.0, "Linf", 0.04, classes=7)
    assert 0 < by_margin < 1
    assert loud <= plain + 0.01
    assert loud == pytest.approx(by_margin, abs=0.01)
    assert (
        accuracy(PGD(start=start, margin_fallback=False), 1e4, "Linf", 0.04, classes=7) > loud + 0.1
    )


@pytest.mark.parametrize("factor", [1e-4, 1e4])
@pytest.mark.parametrize("attack", [MarginPGD(), QUICK])
def test_margins_do_not_care_for_the_scale(attack: Attack, factor: float) -> None:
    model, x, y = patterns(7)
    norm, eps = ("L2", math.inf) if attack.minimum_norm else ("Linf", 0.04)
    threat = ThreatModel(norm, eps)
    one = attack(model, x, y, threat, streams(x))
    other = attack(Then(model, scaled(factor)), x, y, threat, streams(x))
    assert torch.equal(fooled(model, one, y), fooled(model, other, y))
    size = threat.distance(one, x).median(), threat.distance(other, x).median()
    assert float(size[0]) == pytest.approx(float(size[1]), rel=0.01)


def test_a_scaled_and_shifted_linear_model_is_the_same_model() -> None:
    """Every gradient attack follows the sign of the gradient, not its size."""
    weight = torch.randn(1, 64, generator=torch.Generator().manual_seed(0)).double()
    x = images(4)
    model = Linear(weight, -weight.sum(1) / 2)
    y = model(x).argmax(1)
    changed = Then(model, lambda z: 3 * z - 7)
    for name, norm in EVERY:
        attack, threat = make(name, norm)
        expected = attack(model, x, y, threat, streams(4))
        found = attack(changed, x, y, threat, streams(4))
        assert torch.allclose(found, expected, rtol=0, atol=1e-8)
