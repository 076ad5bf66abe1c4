"""Adaptive attacks on a classifier and a detector of which all is known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attacks import (
    ATTACKS,
    PGD,
    DetectorAccess,
    JointPGD,
    OrthogonalPGD,
    SelectivePGD,
    ThreatModel,
    make_attack,
)
from tests.attacks.cases import EPS, streams
from tests.toys import fooled, patterns


class Line(nn.Module):
    """Two logits: the first pixel against a half."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(16, 2, bias=True, dtype=torch.float64)
        with torch.no_grad():
            self.head.weight.zero_()
            self.head.weight[1, 0] = 10.0
            self.head.bias.copy_(torch.tensor([5.0, 0.0]))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(x.flatten(1))
        return logits


def brightness(x: Tensor) -> Tensor:
    """An alarm above a sum of 6.9 over all pixels: raising one has to be paid by the others."""
    return x.flatten(1).sum(1) - 6.9


@pytest.mark.parametrize("attack", [JointPGD, SelectivePGD, OrthogonalPGD])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_attacks_pay_for_what_the_detector_sees(attack: Any, norm: str) -> None:
    """The image lies below the alarm; PGD with steps on all pixels that the margin asks for raises
    it, and each of these attacks fools the model without.
    """
    x = torch.full((3, 1, 4, 4), 0.43, dtype=torch.float64)
    y = torch.zeros(3, dtype=torch.long)
    threat = ThreatModel(norm, 0.1)
    model = Line()
    plain = PGD(steps=50, start="image")(model, x, y, threat, streams(3))
    assert bool((model(plain).argmax(1) == 1).all()) and bool((brightness(plain) > 0).all())
    access = DetectorAccess(brightness)
    x_adv = attack(steps=60)(model, x, y, threat, streams(3), access=access)
    assert bool((model(x_adv).argmax(1) == 1).all())
    assert bool((brightness(x_adv) <= 0).all())
    assert bool((threat.distance(x_adv, x) <= 0.1 + 1e-9).all())


AWARE = [name for name in ATTACKS if make_attack(name).traits.detector_aware]


def test_six_attacks_know_a_detector() -> None:
    assert [
        *("ConfidencePGD", "FeatureMatching", "HierarchicalFeatureConstraint"),
        *("JointPGD", "OrthogonalPGD", "SelectivePGD"),
    ] == AWARE


@pytest.mark.parametrize("name", AWARE)
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_without_a_detector_it_is_pgd_on_the_margin(name: str, norm: str) -> None:
    """To the last bit; ConfidencePGD, which turns round above kappa, until it has fooled."""
    model, x, y = patterns(3)
    model, x = model.double(), x.double()
    threat = ThreatModel(norm, EPS[norm] / 2)
    x_adv = make_attack(name, steps=12)(model, x, y, threat, streams(x))
    plain = PGD(steps=12, step_size=0.1, start="image", loss="margin")(
        model, x, y, threat, streams(x)
    )
    assert 0 < int(fooled(model, plain, y).sum()) < len(x)
    if name == "ConfidencePGD":
        assert torch.equal(fooled(model, x_adv, y), fooled(model, plain, y))
    else:
        assert torch.allclose(x_adv, plain, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", AWARE)
def test_the_first_run_begins_where_it_is_told(name: str) -> None:
    """A start that fools the model already is returned where gradients lead nowhere."""
    x = torch.full((2, 1, 2, 2), 0.5, dtype=torch.float64)
    start = x + 0.05

    def flat(z: Tensor) -> Tensor:
        fooled = (z.flatten(1).mean(1, keepdim=True) > 0.52).to(z)
        return torch.cat([1 - fooled, fooled], 1) + 0 * z.flatten(1).sum(1, keepdim=True)

    y = torch.zeros(2, dtype=torch.long)
    attack = make_attack(name, steps=3)
    threat = ThreatModel("Linf", 0.1)
    assert torch.equal(attack(flat, x, y, threat, streams(2)), x)
    x_adv = attack(flat, x, y, threat, streams(2), access=DetectorAccess(start=start))  # type: ignore[call-arg]
    assert torch.equal(x_adv, start)
