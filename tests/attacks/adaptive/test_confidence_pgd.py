"""ConfidencePGD settles just above the margin that it is given."""

from __future__ import annotations

import pytest
import torch

from attacks import ConfidencePGD, DetectorAccess, ThreatModel
from attacks.losses import margin
from tests.attacks.cases import streams
from tests.toys import linear_cases


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("kappa", [0.5, 2.0])
def test_the_margin_ends_just_above_kappa(norm: str, kappa: float) -> None:
    """On a linear model the margin is as near to kappa as the last step is short."""
    model, x, y = linear_cases("free", n=16)
    threat = ThreatModel(norm, {"Linf": 0.3, "L2": 3.0}[norm])
    x_adv = ConfidencePGD(steps=200, kappa=kappa)(model, x, y, threat, streams(x))
    with torch.no_grad():
        value = margin(model(x_adv), y)
    assert bool((value > kappa).all())
    assert float(value.max()) < kappa + 0.2


def test_with_a_detector_the_least_suspicious_image_is_kept() -> None:
    model, x, y = linear_cases("free", n=16)
    threat = ThreatModel("Linf", 0.2)
    attack = ConfidencePGD(steps=50)
    plain = attack(model, x, y, threat, streams(x))
    for sign in (-1, 1):
        access = DetectorAccess(lambda z, sign=sign: sign * z.flatten(1).mean(1))  # type: ignore[misc]
        x_adv = attack(model, x, y, threat, streams(x), access=access)
        with torch.no_grad():
            assert bool((margin(model(x_adv), y) > 0).all())
        assert bool((sign * (x_adv - plain).flatten(1).mean(1) <= 1e-12).all())
