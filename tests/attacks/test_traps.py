"""What makes other libraries call a model robust that is not: none of it may work here."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from attacks import (
    ATTACKS,
    BIM,
    FGSM,
    PGD,
    Attack,
    CarliniWagnerL2,
    MarginPGD,
    ThreatModel,
    make_attack,
)
from attacks.streams import Streams
from robust.models import Classifier
from tests.toys import (
    Linear,
    Then,
    exact_eps,
    fooled,
    linear,
    patterns,
    predicted,
    trained,
    untrained,
)

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


def streams(x: Tensor) -> Streams:
    return Streams.of(0, range(len(x)))


def won(attack: Attack, model: nn.Module, x: Tensor, y: Tensor, norm: str, eps: float) -> Tensor:
    return fooled(model, attack(model, x, y, ThreatModel(norm, eps), streams(x)), y)


def shifted(constant: float) -> Callable[[Tensor], Tensor]:
    return lambda logits: logits + constant


def scaled(factor: float) -> Callable[[Tensor], Tensor]:
    return lambda logits: logits * factor


# ---------------------------------------------------------------- the logits' zero


@pytest.mark.parametrize("constant", [-100.0, 100.0])
@pytest.mark.parametrize(("norm", "attack", "eps"), SEARCHES)
def test_a_constant_added_to_all_logits_changes_nothing(
    norm: str, attack: Attack, eps: float, constant: float
) -> None:
    """torchattacks compares with max((1 - onehot) logits) >= 0, and so depends on the zero."""
    model, x, y = patterns(5)
    plain = won(attack, model, x, y, norm, eps)
    assert torch.equal(won(attack, Then(model, shifted(constant)), x, y, norm, eps), plain)
    if not math.isinf(eps):
        assert 0 < int(plain.sum()) < len(plain)
    model, x = model.double(), x[:12].double()
    threat = ThreatModel(norm, eps)
    one = attack(model, x, y[:12], threat, streams(x))
    other = attack(Then(model, shifted(constant)), x, y[:12], threat, streams(x))
    assert torch.allclose(one, other, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("norm", "attack", "eps"), SEARCHES)
def test_all_logits_negative(norm: str, attack: Attack, eps: float) -> None:
    model, x, y = patterns(5)
    negative = Then(model, lambda logits: logits.log_softmax(1) - 3)
    assert bool((negative(x) < 0).all())
    assert int(won(attack, negative, x, y, norm, eps).sum()) >= 1


# ---------------------------------------------------------------- over-confidence


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
    assert accuracy(kind(takeover=False), 1e4, norm, eps, classes=2) > plain + 0.1


@pytest.mark.parametrize("start", ["image", "random"])
def test_seven_logits_times_ten_thousand(start: str) -> None:
    """With more classes the margin that takes over has a direction of its own, and is stronger."""
    plain = accuracy(PGD(start=start), 1.0, "Linf", 0.04, classes=7)
    loud = accuracy(PGD(start=start), 1e4, "Linf", 0.04, classes=7)
    by_margin = accuracy(PGD(start=start, objective="margin"), 1.0, "Linf", 0.04, classes=7)
    assert 0 < by_margin < 1
    assert loud <= plain + 0.01
    assert loud == pytest.approx(by_margin, abs=0.01)
    assert accuracy(PGD(start=start, takeover=False), 1e4, "Linf", 0.04, classes=7) > loud + 0.1


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


# ---------------------------------------------------------------- images at the box


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_black_and_white_images_have_a_nearest_adversarial_one(level: float) -> None:
    """The paper's tanh has no gradient there: foolbox, ART, torchattacks and adv-lib find nothing."""
    model, _ = linear((1, 8, 8))
    x = torch.full((1, 1, 8, 8), level, dtype=torch.float64)
    y = predicted(model, x)
    exact = exact_eps(model, x, y, "L2")
    assert 0 < float(exact) < math.inf
    x_adv = CarliniWagnerL2()(model, x, y, ThreatModel("L2", math.inf), streams(x))
    assert bool(fooled(model, x_adv, y).all())
    assert float((x_adv - x).norm()) == pytest.approx(float(exact), rel=0.01)

    least = float(exact_eps(model, x, y, "Linf"))
    for attack in (PGD(), BIM(), FGSM(), MarginPGD()):
        assert not bool(won(attack, model, x, y, "Linf", least * 0.999).any())
        assert bool(won(attack, model, x, y, "Linf", least * 1.001).all())
    for attack in (PGD(start="image", steps=100), PGD(steps=100)):
        assert not bool(won(attack, model, x, y, "L2", float(exact) * 0.999).any())
        assert bool(won(attack, model, x, y, "L2", float(exact) * 1.001).all())


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_black_and_white_images_on_a_network(level: float) -> None:
    model = untrained(3)
    x = torch.full((2, 1, 8, 8), level, dtype=torch.float64)
    y = predicted(model, x)
    threat = ThreatModel("L2", math.inf)
    x_adv = CarliniWagnerL2()(model, x, y, threat, streams(x))
    assert bool(fooled(model, x_adv, y).all())
    assert 0 < float(threat.distance(x_adv, x).max()) < 5
    nearest = float(threat.distance(x_adv, x).max())
    assert bool(won(PGD(), model, x, y, "L2", nearest * 1.2).all())
    for attack in (PGD(), BIM(), MarginPGD()):
        assert bool(won(attack, model, x, y, "Linf", 0.5).all())


def test_a_dark_surround_is_attacked_too() -> None:
    """Only pixels that are exactly black count: an attack that freezes them finds nothing."""
    model, generator = linear((1, 8, 8))
    border = torch.zeros(1, 1, 8, 8, dtype=torch.float64)
    border[..., 2:6, 2:6] = 1
    weight = (model.weight.detach().view(1, 1, 8, 8).abs() * (1 - border)).flatten(1) + 1e-12
    x = torch.rand(6, 1, 8, 8, generator=generator, dtype=torch.float64) * border
    seeing = Linear(weight, torch.tensor([-1.0], dtype=torch.float64))
    y = predicted(seeing, x)
    assert bool((y == 0).all())
    x_adv = CarliniWagnerL2()(seeing, x, y, ThreatModel("L2", math.inf), streams(x))
    exact = exact_eps(seeing, x, y, "L2")
    assert bool(fooled(seeing, x_adv, y).all())
    assert float(((x_adv - x).flatten(1).norm(dim=1) / exact).max()) < 1.01


# ---------------------------------------------------------------- heads


@pytest.mark.parametrize("classes", [2, 3, 7, 10, 14])
@pytest.mark.parametrize("channels", [1, 3])
def test_heads_of_every_size(classes: int, channels: int) -> None:
    """DLR needs four logits, the AutoAttack of other libraries ten; an audit meets them all."""
    model, x, y = patterns(classes, channels)
    assert len(x) >= 30
    for norm, attack, eps in SEARCHES:
        wide = 5 * eps
        part = won(attack, model, x, y, norm, wide)
        assert float(part.double().mean()) > (0.6 if isinstance(attack, FGSM) else 0.95)


def as_sigmoid(model: nn.Module) -> Classifier:
    return Classifier(Then(model, lambda z: z[:, 1:] - z[:, :1]), head="sigmoid")


def as_multilabel(model: nn.Module) -> Classifier:
    def outputs(z: Tensor) -> Tensor:
        other = z.flip(1) * 3
        return torch.cat([other, z[:, 1:] - z[:, :1], other], 1)

    return Classifier(Then(model, outputs), head="multilabel", finding=2)


@pytest.mark.parametrize("wrap", [as_sigmoid, as_multilabel])
def test_one_output_and_many_labels_are_two_classes(
    wrap: Callable[[nn.Module], Classifier],
) -> None:
    """A sigmoid z is the pair (0, z): the same network as softmax gives the same images."""
    model, x, y = patterns(2)
    model, x = model.double().eval(), x[:16].double()
    y = y[:16]
    wrapped = wrap(model).double().eval()
    assert wrapped(x).shape == (16, 2)
    assert torch.equal(predicted(wrapped, x), y)
    for norm, attack, eps in SEARCHES:
        threat = ThreatModel(norm, eps)
        one = attack(model, x, y, threat, streams(x))
        other = attack(wrapped, x, y, threat, streams(x))
        assert torch.allclose(one, other, rtol=0, atol=1e-9)
        if not isinstance(attack, FGSM) and norm == "L2":
            assert bool(fooled(wrapped, other, y).any())


# ---------------------------------------------------------------- side effects

SHORT: dict[str, dict[str, Any]] = {
    "CarliniWagnerL2": {"steps": 3, "binary_steps": 2},
    "MinimumDistance": {"steps": 3},
    "Standard": {"steps": 3, "queries": 10},
}


@pytest.mark.parametrize("name", ATTACKS)
def test_no_side_effects(name: str) -> None:
    model, x, y = patterns(3)
    network = nn.Sequential(model, nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Identity())
    network.eval()
    network[3].train()  # a mixed mode is the user's affair: it may not be tidied up
    network[0][0].weight.requires_grad_(False)
    torch.manual_seed(1), np.random.seed(1), random.seed(1)

    def trace(frame: FrameType, event: str, argument: Any) -> None:
        return None

    attack = make_attack(name, **SHORT.get(name, {}))

    def look() -> dict[str, Any]:
        return {
            "modes": [module.training for module in network.modules()],
            "needs": [p.requires_grad for p in network.parameters()],
            "grads": [p.grad for p in network.parameters()],
            "state": [value.tolist() for value in network.state_dict().values()],
            "hooks": [len(m._forward_hooks) + len(m._backward_hooks) for m in network.modules()],
            "torch": torch.get_rng_state().tolist(),
            "numpy": np.random.get_state()[1].tolist(),
            "random": random.getstate(),
            "dtype": torch.get_default_dtype(),
            "grad mode": torch.is_grad_enabled(),
            "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
            "threads": torch.get_num_threads(),
        }

    before = look()
    old = sys.gettrace()
    try:
        sys.settrace(trace)
        for norm in attack.norms:
            eps = math.inf if attack.minimum_norm else 0.05
            attack(network, x[:4], y[:4], ThreatModel(norm, eps), streams(x[:4]))
        after_trace = sys.gettrace()
    finally:
        sys.settrace(old)
    assert after_trace is trace
    assert look() == before


def test_what_is_called_fooled_is_what_the_model_says() -> None:
    """The success that is counted is the label predicted again, ties going to the defender."""
    model, x, y = patterns(3)
    x_adv = PGD()(model, x, y, ThreatModel("Linf", 0.05), streams(x))
    with torch.no_grad():
        again = model(x_adv).argmax(1) != y
    assert torch.equal(again, fooled(model, x_adv, y))
