"""Where the defaults of foolbox fall short on a linear model."""

from __future__ import annotations

import foolbox
import torch

from attacks import ThreatModel, from_foolbox
from tests.attacks.cases import streams
from tests.toys import exact_eps, fooled, linear_cases


def test_foolbox_defaults_fall_short_in_linf() -> None:
    """Foolbox's LinfPGD starts anywhere in the ball and travels 40 / 30 of its radius.

    A pixel that starts at the wrong end needs 2 radii. What a longer travel breaks, these defaults
    leave as robust, even on a model whose gradient is constant. So ours travel 2 radii.
    """
    model, x, y = linear_cases("free")
    exact = exact_eps(model, x, y, "Linf")
    theirs = from_foolbox(foolbox.attacks.LinfPGD())
    missed = found = 0
    for eps in exact.quantile(torch.tensor([0.2, 0.4, 0.6, 0.8]).double()).tolist():
        truth = exact < eps * (1 - 1e-5)
        broken = fooled(model, theirs(model, x, y, ThreatModel("Linf", eps), streams(x)), y)
        missed += int((truth & ~broken).sum())
        found += int((broken & (exact > eps * (1 + 1e-5))).sum())
    assert missed >= 4
    assert found == 0
