"""Every attack finds on a GPU what it finds on the CPU."""

from __future__ import annotations

import copy

import pytest
import torch

from tests.attacks.cases import EVERY, images, make, streams, with_detector
from tests.toys import fooled, untrained

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize(("classes", "targeted"), [(2, False), (6, True)])
@pytest.mark.parametrize(("name", "norm"), EVERY)
def test_the_same_images_as_on_the_cpu(
    name: str, norm: str, classes: int, targeted: bool, gpu: torch.device
) -> None:
    attack, threat = make(name, norm)
    model, x = untrained(classes), images(6)
    y = model(x).argmax(1)
    target = (y + 1) % classes if targeted else None
    here = with_detector(attack, model, classes)(model, x, y, threat, streams(6), target)
    moved = copy.deepcopy(model).to(gpu)
    goal = None if target is None else target.to(gpu)
    call = with_detector(attack, moved, classes, gpu)
    there = call(moved, x.to(gpu), y.to(gpu), threat, streams(6), goal)
    assert there.device.type == gpu.type
    assert torch.equal(fooled(model, there.cpu(), y, target), fooled(model, here, y, target))
    # Where a step follows signs, the last digit of a gradient near zero can turn a pixel.
    alike = (there.cpu() - here).abs() <= 1e-6
    assert float(alike.double().mean()) > 0.95
