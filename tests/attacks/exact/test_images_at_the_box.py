"""Black and white images, which some attacks cannot change, against the closed form."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from attacks import BIM, FGSM, PGD, CarliniWagnerL2, MarginPGD, ThreatModel
from tests.attacks.cases import streams
from tests.attacks.contract.test_scale_of_logits import won
from tests.toys import Linear, exact_eps, fooled, linear, predicted, untrained


def black_and_white() -> Tensor:
    """One image of each."""
    return torch.tensor([0.0, 1.0], dtype=torch.float64).view(2, 1, 1, 1).expand(2, 1, 8, 8).clone()


def test_black_and_white_images_have_a_nearest_adversarial_one() -> None:
    """The paper's tanh has no gradient there: foolbox, ART, torchattacks and adv-lib find nothing."""
    model, _ = linear((1, 8, 8))
    x = black_and_white()
    y = predicted(model, x)
    # The model is undecided on mid-grey: black and white lie at the same distance.
    exact, other = exact_eps(model, x, y, "L2").tolist()
    assert 0 < exact == pytest.approx(other) and exact < math.inf
    threat = ThreatModel("L2", math.inf)
    x_adv = CarliniWagnerL2()(model, x, y, threat, streams(x))
    assert bool(fooled(model, x_adv, y).all())
    assert threat.distance(x_adv, x).tolist() == pytest.approx([exact, exact], rel=0.01)

    least, other = exact_eps(model, x, y, "Linf").tolist()
    assert least == pytest.approx(other)
    for attack in (PGD(), BIM(), FGSM(), MarginPGD()):
        assert not bool(won(attack, model, x, y, "Linf", least * 0.999).any())
        assert bool(won(attack, model, x, y, "Linf", least * 1.001).all())
    for attack in (PGD(start="image", steps=100), PGD(steps=100)):
        assert not bool(won(attack, model, x, y, "L2", exact * 0.999).any())
        assert bool(won(attack, model, x, y, "L2", exact * 1.001).all())


def test_black_and_white_images_on_a_network() -> None:
    model = untrained(3)
    x = black_and_white()
    y = predicted(model, x)
    threat = ThreatModel("L2", math.inf)
    x_adv = CarliniWagnerL2()(model, x, y, threat, streams(x))
    assert bool(fooled(model, x_adv, y).all())
    nearest = threat.distance(x_adv, x)
    assert float(nearest.min()) > 0 and float(nearest.max()) < 5
    for i, distance in enumerate(nearest.tolist()):
        own = slice(i, i + 1)
        assert bool(won(PGD(), model, x[own], y[own], "L2", distance * 1.2).all())
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
