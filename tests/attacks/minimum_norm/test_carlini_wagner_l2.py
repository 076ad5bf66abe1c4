"""CarliniWagnerL2 against the closed form on linear models."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from attacks import CarliniWagnerL2, ThreatModel
from tests.attacks.cases import streams
from tests.toys import Linear, Then, exact_eps, fooled, linear_cases, patterns

BOXES = ("free", "binding")


QUICK = (("free", (3, 16, 16), torch.float64), ("binding", (1, 8, 8), torch.float32))


@pytest.mark.parametrize(
    ("box", "shape", "dtype"),
    [
        pytest.param(*one, marks=[] if one in QUICK else pytest.mark.slow)
        for one in itertools.product(
            BOXES, ((1, 8, 8), (3, 16, 16)), (torch.float32, torch.float64)
        )
    ],
)
def test_carlini_wagner_finds_the_nearest(
    box: str, shape: tuple[int, int, int], dtype: torch.dtype
) -> None:
    model, x, y = linear_cases(box, n=32, shape=shape, seed=1)
    exact = exact_eps(model, x, y, "L2")
    threat = ThreatModel("L2", math.inf)
    x_adv = CarliniWagnerL2()(model.to(dtype), x.to(dtype), y, threat, streams(x))
    assert bool(fooled(model, x_adv, y).all())
    ratio = threat.distance(x_adv.double(), x) / exact
    assert float(ratio.max()) < 1.01
    # float32 rounds the image itself: the least distances are some 1e-3, pixels 6e-8 exact.
    assert float(ratio.min()) > (1 - 1e-9 if dtype == torch.float64 else 0.999)


BENT = {
    "z^3": lambda z: z**3,
    "z^5": lambda z: z**5,
    "cube root": lambda z: z.sign() * (z.abs() + 1e-6) ** (1 / 3),
    "sinh": lambda z: torch.sinh(z / 2),
}


@pytest.mark.parametrize(
    "bend", [pytest.param(one, marks=pytest.mark.slow if one == "z^5" else []) for one in BENT]
)
@pytest.mark.parametrize("box", [pytest.param("free", marks=pytest.mark.slow), "binding"])
def test_carlini_wagner_finds_the_nearest_of_bent_logits(box: str, bend: str) -> None:
    """The boundary stays where it was; the gradient vanishes there, or grows without bound.

    So c as the gradient at the image suggests it is wrong, and the bisection has to find it.
    """
    model, x, y = linear_cases(box, n=32, seed=1)
    exact = exact_eps(model, x, y, "L2")
    threat = ThreatModel("L2", math.inf)
    bent = Then(model, BENT[bend])
    x_adv = CarliniWagnerL2()(bent, x, y, threat, streams(x))
    assert bool(fooled(bent, x_adv, y).all())
    assert float((threat.distance(x_adv, x) / exact).max()) < 1.01


def test_carlini_wagner_never_forgets_a_nearer_image() -> None:
    """A bisection step more does all that was done without it, and then looks further."""
    model, x, y = patterns(4)
    threat = ThreatModel("L2", math.inf)
    before = torch.full((len(x),), math.inf)
    for binary_steps in (1, 2, 3, 4, 5):
        attack = CarliniWagnerL2(steps=12, binary_steps=binary_steps, line_steps=0)
        x_adv = attack(model, x, y, threat, streams(x))
        distance = torch.where(fooled(model, x_adv, y), threat.distance(x_adv, x), math.inf)
        assert bool((distance <= before).all())
        before = distance
    slid = CarliniWagnerL2(steps=12, binary_steps=5)(model, x, y, threat, streams(x))
    assert bool(fooled(model, slid, y).all())
    shorter = threat.distance(slid, x) / before
    assert float(shorter.max()) <= 1 + 1e-6 and float(shorter.min()) < 1 - 1e-3


def test_carlini_wagner_keeps_the_confidence() -> None:
    """With kappa the nearest image at that margin is sought: a shifted bias in closed form."""
    model, x, y = linear_cases("binding", n=32)
    kappa = 3.0
    x_adv = CarliniWagnerL2(confidence=kappa)(model, x, y, ThreatModel("L2", math.inf), streams(x))
    with torch.no_grad():
        z = model(x_adv)[:, 1] * torch.where(y == 0, 1.0, -1.0)
    assert bool((z > kappa).all())
    distance = (x_adv - x).flatten(1).norm(dim=1)
    for label in (0, 1):
        rows = y == label
        shifted = Linear(
            model.weight.detach(), model.bias.detach() + (-kappa if label == 0 else kappa)
        )
        exact = exact_eps(shifted, x[rows], y[rows], "L2")
        assert float((distance[rows] / exact).max()) < 1.01
