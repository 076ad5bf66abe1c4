"""Black and white images, which some attacks cannot change, against the closed form."""

from __future__ import annotations

import math

import pytest
import torch

from attacks import BIM, FGSM, PGD, CarliniWagnerL2, MarginPGD, ThreatModel
from tests.attacks.cases import streams
from tests.attacks.contract.test_scale_of_logits import won
from tests.toys import Linear, exact_eps, fooled, linear, predicted, untrained


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
