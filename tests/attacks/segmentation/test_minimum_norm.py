"""ALMA-prox on pointwise linear segmenters: at most 1 % above the smallest eps, never below."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from attacks import ALMAProx, ThreatModel
from attacks.dense import IGNORE
from attacks.segmentation.alma_prox import _proximity
from tests.attacks.segmentation import closed_forms as truth
from tests.attacks.segmentation.toys import (
    PointwiseCases,
    flat,
    labels_of,
    pointwise_cases,
)

NEAREST = ThreatModel("Linf", math.inf)
QUICK = 60


def ratios(cases: PointwiseCases, share: float, steps: int, vanish: bool = False) -> np.ndarray:
    """Distances in units of the smallest eps, of the cases that have one; the goal is reached."""
    target = None
    if vanish:
        # What the model finds of the structure shall go; the attacker has no wish elsewhere.
        found = cases.predicted(cases.x) == 1
        target = torch.where(found, 0, IGNORE)
    x_adv = cases.attacked(ALMAProx(steps=steps, share=share), NEAREST, target)
    distance, mask = NEAREST.distance(x_adv, cases.x), cases.predicted(x_adv)
    score = cases.model.weight[0].numpy(), float(cases.model.bias[0])
    values = []
    for i, x in enumerate(cases.x):
        if target is None:
            radii = truth.radii(*score, flat(x), labels_of(cases.y[i]) == 1)
            won = mask[i] != cases.y[i]
        else:
            inside = labels_of(target[i]) == 0
            radii = truth.radii(*score, flat(x)[:, inside], inside[inside])
            won = mask[i][target[i] == 0] == 0
        smallest = truth.smallest_linf(radii, share)
        if math.isinf(smallest):
            continue
        assert int(won.sum()) >= truth.needed(len(radii), share)
        values.append(float(distance[i]) / smallest)
    return np.array(values)


@pytest.mark.parametrize(("share", "channels"), [(0.99, 1), (0.5, 2), (0.9, 3)])
@pytest.mark.parametrize("vanish", [False, True])
def test_the_order_statistic(share: float, channels: int, vanish: bool) -> None:
    """A share of wrong pixels, and a share of a structure that vanishes; in the box."""
    cases = pointwise_cases(40, channels, channels=channels)
    values = ratios(cases, 1.0 if vanish else share, QUICK, vanish)
    assert len(values) > 30
    assert values.min() >= 1 - 1e-12
    assert values.max() <= 1.01


def test_volumes() -> None:
    values = ratios(pointwise_cases(20, 3, channels=2, space=(4, 5, 6)), 0.8, QUICK)
    assert values.min() >= 1 - 1e-12
    assert values.max() <= 1.01


@pytest.mark.slow
def test_the_order_statistic_of_a_thousand() -> None:
    values = np.concatenate(
        [
            ratios(pointwise_cases(100, seed, channels=1 + seed % 3), share, 300)
            for seed, share in enumerate((0.99, 0.95, 0.9, 0.8, 0.7, 0.5, 0.3, 0.2, 0.99, 0.5))
        ]
    )
    assert len(values) > 900
    assert values.min() >= 1 - 1e-12
    assert values.max() <= 1.01


def test_the_bisection_only_shortens() -> None:
    cases = pointwise_cases(20, 5, channels=2)
    searched, bisected = (
        cases.attacked(ALMAProx(60, 0.7, balls), NEAREST, None) for balls in (0, 8)
    )
    before, after = (NEAREST.distance(x_adv, cases.x) for x_adv in (searched, bisected))
    wrong = [
        (cases.predicted(z) != cases.y).flatten(1).double().mean(1) for z in (searched, bisected)
    ]
    reached = wrong[0] >= 0.7  # elsewhere the search has found nothing to shorten
    assert int(reached.sum()) >= 15 and bool((wrong[1] >= 0.7).all())
    assert bool((after <= before)[reached].all())
    assert float((after / before)[reached].median()) < 0.999


def test_the_proximity_operator() -> None:
    """No other step has a lower sum of norm and distance: neighbours and random ones."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(1, 1, 4, 5, generator=generator, dtype=torch.float64)
    for scale in (0.05, 0.3, 1.0):
        moved = scale * torch.randn(1, 1, 4, 5, generator=generator, dtype=torch.float64)
        metric = (3 * torch.randn(1, 1, 4, 5, generator=generator, dtype=torch.float64)).exp()

        def value(d: Tensor, moved: Tensor = moved, metric: Tensor = metric) -> float:
            return float(d.abs().max() + (metric * (d - moved).square()).sum() / 2)

        found = _proximity(moved, metric, x)
        assert bool((x + found >= 0).all()) and bool((x + found <= 1).all())
        for size in (1e-6, 1e-3, 0.1):
            best = value(found) * (1 - 1e-9)
            for _ in range(200):
                other = found + size * torch.randn(1, 1, 4, 5, generator=generator).double()
                assert best <= value(other.clamp(-x, 1 - x))
            level = found.clamp(-found.abs().max() + size, found.abs().max() - size)
            assert best <= value(level)


@pytest.mark.parametrize(
    ("fields", "says"),
    [({"share": 0.0}, "share"), ({"share": 1.5}, "share"), ({"bisections": -1}, "bisections")],
)
def test_bad_fields(fields: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ALMAProx(**fields)  # type: ignore[arg-type]
