"""Lines against truth: the margin is a known function of one variable."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from attacks import PGD, AutoAttack, Streams, ThreatModel
from attacks.line_search import FURTHER_PASSES, LOCAL_PASSES, search_lines
from tests.toys import fooled

CASES, EPS = 12, 0.1


def model(shape: Callable[[Tensor], Tensor], across: bool = False) -> Callable[[Tensor], Tensor]:
    """Logits whose difference is `shape` of the mean change, in eps, from mid-grey.

    With `across`, of the change along a direction at right angles to the gradient.
    """
    signs = torch.ones(64, dtype=torch.float64)
    if across:
        signs[::2] = -1

    def logits(x: Tensor) -> Tensor:
        flat = x.flatten(1) - 0.5
        value = shape((flat * signs).mean(1) / EPS)
        return torch.stack([value, torch.zeros_like(value)], 1)

    return logits


def cases() -> tuple[Tensor, Tensor, Streams]:
    x = torch.full((CASES, 1, 8, 8), 0.5, dtype=torch.float64)
    return x, torch.zeros(CASES, dtype=torch.int64), Streams.of(0, range(CASES))


def hill(s: Tensor) -> Tensor:
    """The slope at mid-grey leads to where there is nothing; beyond a hill it is misread."""
    return 1 - 0.5 * s - 2 * torch.sigmoid(40 * (-s - 0.7)) * 1.5


def well(s: Tensor) -> Tensor:
    """Misread between -0.57 and -0.53 alone, on the far side of a plain slope."""
    return 2 + s - 4 * torch.exp(-(((s + 0.55) / 0.03) ** 2))


def sound(s: Tensor) -> Tensor:
    return 2 + s


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_lines_find_what_lies_behind_a_hill(norm: str) -> None:
    x, y, streams = cases()
    threat = ThreatModel(norm, EPS if norm == "Linf" else EPS * 8)
    steps = PGD(start="image", loss="margin")(model(hill), x, y, threat, streams)
    assert not bool(fooled(model(hill), steps, y).any())
    found = search_lines(model(hill), x, y, threat, streams, further=False)
    assert bool((found.found & found.away & ~found.narrow).all())
    assert bool(fooled(model(hill), found.x_adv, y).all())
    assert float(threat.distance(found.x_adv, x).max()) <= threat.eps * (1 + 1e-9)


def test_lines_find_a_narrow_well() -> None:
    x, y, streams = cases()
    found = search_lines(model(well), x, y, ThreatModel("Linf", EPS), streams, further=False)
    assert bool((found.found & found.narrow).all())
    assert bool(fooled(model(well), found.x_adv, y).all())


def test_a_sound_model_has_neither() -> None:
    x, y, streams = cases()
    for far in (False, True):
        found = search_lines(model(sound), x, y, ThreatModel("Linf", EPS), streams, further=far)
        assert not bool(found.found.any())
    near = search_lines(model(sound), x, y, ThreatModel("Linf", 3 * EPS), streams)
    assert bool(near.found.all()) and not bool((near.narrow | near.away).any())


def test_the_passes_are_bounded() -> None:
    x, y, streams = cases()
    seen = 0

    def counting(z: Tensor) -> Tensor:
        nonlocal seen
        seen += len(z)
        return model(sound)(z)

    search_lines(counting, x, y, ThreatModel("Linf", EPS), streams)
    assert 0 < seen / CASES <= LOCAL_PASSES + FURTHER_PASSES


@pytest.mark.parametrize("shape", [hill, well])
def test_the_ensemble_takes_what_lines_find(shape: Callable[[Tensor], Tensor]) -> None:
    x, y, streams = cases()
    attack = AutoAttack(steps=2, queries=1)
    x_adv = attack(model(shape), x, y, ThreatModel("Linf", EPS), streams)
    assert bool(fooled(model(shape), x_adv, y).all())
