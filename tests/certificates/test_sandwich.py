"""Proven by intervals <= by CROWN <= exact <= attacked, in L-inf, and equal where it has to be."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from attacks import FMN, AutoAttack, ThreatModel
from attacks.streams import Streams
from robust.certificates.exact import SOLVER, ExactBounds
from robust.certificates.interval_bounds import IntervalBounds
from robust.certificates.linear_relaxation import CROWN
from robust.models.classifier import Classifier
from tests.certificates.networks import (
    KINDS,
    SOME_SLOW,
    corners_and_inside,
    radius,
    trained_network,
)
from tests.toys import Linear, exact_eps, fooled, linear_cases, predicted

pytestmark = pytest.mark.usefixtures("read_once")

CASES = 3
QUICK = {("convolutional", 2), ("residual", 2)}


def pairs() -> list[Any]:
    """Every kind with two and three classes; most of them are slow."""
    return [
        pytest.param(kind, k, marks=() if (kind, k) in QUICK else pytest.mark.slow)
        for kind in KINDS
        for k in (2, 3)
    ]


def attacked(model: Classifier, x: Tensor, bisections: int) -> Tensor:
    """The nearest image of another class that FMN, and AutoAttack at ever smaller eps, find."""
    y, streams = predicted(model, x), Streams.of(0, range(len(x)))

    def distance(x_adv: Tensor) -> Tensor:
        size = (x_adv - x).abs().flatten(1).amax(1)
        return torch.where(fooled(model, x_adv, y), size, math.inf)

    found = distance(FMN()(model, x, y, ThreatModel("Linf", math.inf), streams))
    for _ in range(bisections):
        for case, nearest in enumerate(found.tolist()):
            threat = ThreatModel("Linf", 0.98 * min(nearest, 1.0))
            one = slice(case, case + 1)
            x_adv = AutoAttack(steps=30, queries=100)(
                model, x[one], y[one], threat, Streams.of(0, [case])
            )
            size = (x_adv - x[one]).abs().max()
            if bool(fooled(model, x_adv, y[one])):
                found[case] = min(found[case], size)
    return found


@pytest.mark.parametrize(("kind", "classes"), pairs())
def test_what_is_proven_is_below_the_truth_and_that_below_what_is_attacked(
    kind: str, classes: int
) -> None:
    model, x = trained_network(kind, classes)
    x = x[:CASES]
    interval = radius(IntervalBounds(), model, x)
    hybrid = radius(CROWN(intermediate="interval"), model, x)
    crown = radius(CROWN(), model, x)
    exact = radius(ExactBounds(), model, x)
    assert bool((interval > 0).all())
    assert bool((interval <= hybrid).all() and (hybrid <= crown).all())
    assert bool((crown <= exact + 2 * SOLVER).all())
    nearest = attacked(model, x, bisections=0)
    assert bool((exact <= nearest).all())
    # Both sides are near to the truth, so that an error of either would be seen.
    assert float((crown / exact).median()) > 0.8
    assert float((nearest / exact).amin()) < 1.01


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_the_sandwich_on_more_networks(kind: str, classes: int, seed: int) -> None:
    model, x = trained_network(kind, classes, seed)
    exact = radius(ExactBounds(), model, x)
    for certificate in (IntervalBounds(), CROWN(intermediate="interval"), CROWN()):
        assert bool((radius(certificate, model, x) <= exact + 2 * SOLVER).all())
    nearest = attacked(model, x, bisections=1)
    assert bool((exact <= nearest).all())
    assert float((nearest / exact).amin()) < 1.01


@pytest.mark.parametrize(
    ("classes", "box"),
    [
        *((2, "binding"), (3, "free")),
        *(pytest.param(k, b, marks=pytest.mark.slow) for k, b in ((2, "free"), (3, "binding"))),
        *(pytest.param(7, box, marks=pytest.mark.slow) for box in ("free", "binding")),
    ],
)
def test_on_a_linear_model_linear_bounds_are_exact(classes: int, box: str) -> None:
    if classes == 2:
        network, x, _ = linear_cases(box, n=12)
    else:
        generator = torch.Generator().manual_seed(classes)
        weight = torch.randn(classes, 64, generator=generator, dtype=torch.float64)
        network = Linear(weight, -weight.sum(1) / 2)
        x = torch.rand(12, 1, 8, 8, generator=generator, dtype=torch.float64)
        x = 0.4 + 0.2 * x if box == "free" else (1.8 * x - 0.4).clamp(0, 1)
    model = Classifier(network, head="softmax").eval()
    exact = exact_eps(network, x, predicted(network, x), "Linf").clamp_max(1)
    crown, interval = radius(CROWN(), model, x), radius(IntervalBounds(tolerance=1e-4), model, x)
    assert torch.allclose(crown, exact, rtol=1e-8, atol=0)
    assert bool((crown <= exact).all())
    assert torch.allclose(interval, exact, rtol=2e-4, atol=0)
    assert torch.allclose(radius(ExactBounds(), model, x[:4]), exact[:4], rtol=0, atol=2 * SOLVER)


@pytest.mark.parametrize("kind", SOME_SLOW)
def test_no_image_of_the_proven_box_has_another_class(kind: str) -> None:
    model, x = trained_network(kind, 3)
    certified = CROWN()(model, x, Streams.of(0, range(len(x))))
    assert torch.equal(certified.predicted, predicted(model, x))
    for part in corners_and_inside(x, certified.radius, 10_000 // len(x)):
        assert torch.equal(predicted(model, part), certified.predicted)
