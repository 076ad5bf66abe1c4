"""Attack losses against their definitions."""

from __future__ import annotations

import math

import pytest
import torch

from attacks.losses import AttackLoss, climb, cross_entropy, margin, saturated
from tests.attacks.cases import images
from tests.toys import untrained


def test_margin_against_the_definition() -> None:
    logits = torch.tensor([[1.0, -2.0, 0.5], [-5.0, -1.0, -3.0]])
    y, target = torch.tensor([0, 2]), torch.tensor([1, 1])
    assert margin(logits, y).tolist() == [-0.5, 2.0]
    assert margin(logits, y, target).tolist() == [-3.0, 2.0]
    two = torch.tensor([[0.0, 3.0]])
    assert margin(two, torch.tensor([1])).tolist() == [-3.0]


def test_objectives_grow_towards_the_goal() -> None:
    """A step along the gradient raises the value; cross-entropy's own value is the textbook's."""
    model, x = untrained(4), images(5)
    y = model(x).argmax(1)
    for target in (None, (y + 1) % 4):
        for name in ("cross_entropy", "margin"):
            loss = AttackLoss(name, y, target)
            logits, gradient = climb(model, x, loss)
            with torch.no_grad():
                after = loss(model(x + 1e-4 * gradient))
            assert bool((after > loss(logits)).all())
    logits = model(x).detach()
    p = logits.softmax(1).gather(1, y[:, None]).squeeze(1)
    assert torch.allclose(cross_entropy(logits, y), -p.log())
    q = logits.softmax(1).gather(1, (y[:, None] + 1) % 4).squeeze(1)
    assert torch.allclose(cross_entropy(logits, y, (y + 1) % 4), q.log())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_takeover_begins_where_half_of_the_digits_are_gone(dtype: torch.dtype) -> None:
    """Below the threshold of 1 - p the loss is the margin, above it cross-entropy."""
    edge = -math.log(torch.finfo(dtype).eps ** 0.5)
    y = torch.zeros(2, dtype=torch.int64)
    logits = torch.tensor([[edge - 0.1, 0.0], [edge + 0.1, 0.0]], dtype=dtype)
    assert saturated(logits, y).tolist() == [False, True]
    value = AttackLoss("cross_entropy", y)(logits)
    assert value[0] == cross_entropy(logits, y)[0] and value[1] == margin(logits, y)[1]
    plain = AttackLoss("cross_entropy", y, margin_fallback=False)(logits)
    assert torch.equal(plain, cross_entropy(logits, y))
    # Towards a target the gradient is largest where the target is far: nothing to take over.
    target = torch.ones(2, dtype=torch.int64)
    aimed = AttackLoss("cross_entropy", y, target)(logits)
    assert torch.equal(aimed, cross_entropy(logits, y, target))
