"""Every attack keeps to the device of its images, and finds there what it finds on the CPU."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest
import torch

from tests.another_device import DEVICE, another_device
from tests.attacks.cases import EVERY, images, make, streams, with_detector
from tests.toys import untrained

slow = pytest.mark.slow


CASES = [
    pytest.param(
        *one,
        *classes,
        marks=[] if (one[1] == "Linf") == (classes[0] == 2) and one[0] != "AutoAttack" else slow,
    )
    for one in EVERY
    for classes in ((2, False), (6, True))
]
"""The cheaper half at every change: L-inf with two classes, L2 towards one of six; no AutoAttack."""
MOST = {"steps": 6, "queries": 20}
"""An operation that mixes devices does so in the first steps."""


def shorter(attack: Any) -> Any:
    """The attack with fewer steps, but for those that `make` has shortened further."""
    own = {field.name: getattr(attack, field.name) for field in dataclasses.fields(attack)}
    return dataclasses.replace(
        attack, **{name: min(most, own[name]) for name, most in MOST.items() if name in own}
    )


@pytest.mark.parametrize(("name", "norm", "classes", "targeted"), CASES)
def test_the_same_images_as_on_the_cpu(name: str, norm: str, classes: int, targeted: bool) -> None:
    attack, threat = make(name, norm)
    attack = shorter(attack)
    model, x = untrained(classes), images(4)
    y = model(x).argmax(1)
    target = (y + 1) % classes if targeted else None
    here = with_detector(attack, model, classes)(model, x, y, threat, streams(4), target)
    with another_device():
        moved = copy.deepcopy(model).to(DEVICE)
        given = [None if one is None else one.to(DEVICE) for one in (x, y, target)]
        call = with_detector(attack, moved, classes, DEVICE)
        there = call(moved, given[0], given[1], threat, streams(4), given[2])
        assert there.device == DEVICE
        assert torch.equal(there.cpu(), here)
