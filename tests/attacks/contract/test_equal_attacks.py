"""Attacks that do the same to a model, and are called the same: `canonical`."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from attacks import BIM, FGSM, PGD, Attack, MarginPGD, ThreatModel, canonical, make_attack
from tests.attacks.cases import EPS, images, streams
from tests.toys import untrained


@pytest.mark.parametrize("start", ["random", "image"])
@pytest.mark.parametrize("keep", ["best", "last"])
@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_two_classes_make_one_attack_of_two(
    norm: str, targeted: bool, keep: str, start: str
) -> None:
    """Cross-entropy and margin: called the same for two classes, and measured to be the same."""
    by_entropy = PGD(8, start=start, keep=keep, loss="cross_entropy", restarts=2)
    by_margin = dataclasses.replace(by_entropy, loss="margin")
    threat = ThreatModel(norm, EPS[norm])
    for classes, same in ((2, True), (3, False)):
        assert (canonical(by_entropy, classes) == canonical(by_margin, classes)) is same
        model, x = untrained(classes), images(5)
        y = model(x).argmax(1)
        target = (y + 1) % classes if targeted else None
        a = by_entropy(model, x, y, threat, streams(5), target)
        b = by_margin(model, x, y, threat, streams(5), target)
        assert torch.allclose(a, b, rtol=0, atol=1e-12) is same


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (BIM(), PGD(steps=20, step_size=0.05, schedule="constant", start="image")),
        (
            MarginPGD(),
            PGD(steps=20, step_size=0.1, schedule="constant", start="image", loss="margin"),
        ),
        (FGSM(), PGD(steps=1, step_size=1.0, schedule="constant", start="image", keep="last")),
    ],
)
def test_named_attacks_are_pgd(one: Attack, other: Attack) -> None:
    assert canonical(one, 5) == canonical(other, 5) == other
    assert one.passes == other.passes
    model, x = untrained(5), images(4)
    y = model(x).argmax(1)
    threat = ThreatModel("Linf", 0.05)
    assert torch.equal(one(model, x, y, threat, streams(4)), other(model, x, y, threat, streams(4)))


def test_different_attacks_stay_different() -> None:
    assert canonical(BIM(), 2) != canonical(MarginPGD(), 2)
    assert canonical(PGD(), 2) != canonical(BIM(), 2)
    plain = PGD(margin_fallback=False)
    assert canonical(plain, 2) == plain
    noise = make_attack("Noise")
    assert canonical(noise, 2) == noise
