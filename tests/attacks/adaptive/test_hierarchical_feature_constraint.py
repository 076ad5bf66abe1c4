"""HierarchicalFeatureConstraint raises the likelihood of another class while it fools the model."""

from __future__ import annotations

import torch
from torch import Tensor

from attacks import DetectorAccess, HierarchicalFeatureConstraint, ThreatModel
from attacks.losses import margin
from tests.attacks.cases import streams
from tests.toys import linear_cases


def test_the_likelihood_rises_and_the_model_is_fooled() -> None:
    model, x, y = linear_cases("free", n=16)
    threat = ThreatModel("Linf", 0.2)
    centre = torch.linspace(0.3, 0.7, x[0].numel(), dtype=x.dtype)

    def likelihood(z: Tensor) -> Tensor:
        """Of both classes alike: how near the image is to one that the model does not ask for."""
        return -(z.flatten(1) - centre).square().sum(1, keepdim=True).expand(-1, 2)

    attack = HierarchicalFeatureConstraint(steps=60)
    access = DetectorAccess(lambda z: -likelihood(z)[:, 0], likelihood=likelihood)
    plain = attack(model, x, y, threat, streams(x))
    x_adv = attack(model, x, y, threat, streams(x), access=access)
    with torch.no_grad():
        assert bool((margin(model(x_adv), y) > 0).all())
    assert bool((likelihood(x_adv)[:, 0] > likelihood(plain)[:, 0]).all())
    assert float((likelihood(x_adv) - likelihood(x))[:, 0].median()) > 0
