"""PGD and its named forms against truth: robust accuracy of linear models in closed form."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from attacks import BIM, PGD, Attack, MarginPGD, ThreatModel
from tests.attacks.cases import NORMS, streams
from tests.toys import Linear, exact_eps, fooled, linear_cases

BOXES = ("free", "binding")


def grid(exact: Tensor) -> list[float]:
    """Sizes over the whole range of a curve, and just below and just above single cases."""
    order = exact.sort().values
    whole = torch.linspace(float(order[0]) / 2, float(order[-1]) * 1.05, 5).tolist()
    single = [float(order[i]) * (1 + s) for i in (5, 33, 61) for s in (-1e-4, 1e-4)]
    return whole + single


def compare(
    attack: Attack, model: Linear, x: Tensor, y: Tensor, norm: str, exact: Tensor
) -> tuple[int, int]:
    """Over the grid: cases judged unlike the closed form, and cases too near the boundary."""
    wrong = left_out = 0
    for eps in grid(exact):
        x_adv = attack(model, x, y, ThreatModel(norm, eps), streams(x))
        near = (exact / eps - 1).abs() < 1e-5
        wrong += int(((fooled(model, x_adv, y) != (exact < eps)) & ~near).sum())
        left_out += int(near.sum())
    return wrong, left_out


EXACT = [
    ("Linf", "free", PGD(start="image")),
    ("Linf", "free", PGD()),
    ("Linf", "free", BIM()),
    ("Linf", "free", MarginPGD()),
    ("Linf", "binding", PGD(start="image")),
    ("Linf", "binding", PGD()),
    ("Linf", "binding", BIM()),
    ("Linf", "binding", MarginPGD()),
    ("L2", "free", PGD(start="image")),
    ("L2", "free", BIM()),
    # Where the box binds, the corner of ball and box is approached, not hit: more steps.
    ("L2", "binding", PGD(start="image", steps=50)),
    ("L2", "binding", PGD(steps=50)),
]


@pytest.mark.parametrize(("norm", "box", "attack"), EXACT)
def test_robust_accuracy_is_exact(norm: str, box: str, attack: Attack) -> None:
    model, x, y = linear_cases(box)
    wrong, left_out = compare(attack, model, x, y, norm, exact_eps(model, x, y, norm))
    assert wrong == 0
    assert left_out <= 3


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("box", BOXES)
def test_the_cases_are_what_they_claim(norm: str, box: str) -> None:
    """The box binds or does not, and the closed form without a box agrees where it does not."""
    model, x, y = linear_cases(box)
    assert not bool(fooled(model, x, y).any())
    ratio = exact_eps(model, x, y, norm) / exact_eps(model, x, y, norm, box=False)
    if box == "free":
        assert torch.allclose(ratio, torch.ones_like(ratio), atol=1e-9)
    else:
        assert float(((x == 0) | (x == 1)).double().mean()) > 1 / 3
        assert float(ratio.median()) > 1.03


def test_too_short_a_travel_is_not_exact() -> None:
    """The comparison can fail: half as many steps cannot leave the ball's far side in time."""
    model, x, y = linear_cases("free")
    wrong, _ = compare(
        PGD(steps=10, step_size=0.1), model, x, y, "Linf", exact_eps(model, x, y, "Linf")
    )
    assert wrong > 0
