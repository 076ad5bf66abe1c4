"""Quantisation within eps and the levels of a file; adversarial rounding against the truth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from robust.cases.case import Case
from robust.cases.stored_pixels import Stored, Window
from robust.storage.rounding import StoredBatch, adversarial_rounding
from tests.engine.nets import phantoms as cases
from tests.engine.nets import trained

WINDOWED = Stored(12, view=Window(2048, 1000))


def case(stored: Stored, seed: int = 0) -> Case:
    """An image of whole levels, over the whole stored range."""
    drawn = np.random.default_rng(seed)
    pixels = stored.cast(drawn.integers(0, stored.levels + 1, (8, 8)) + stored.low)
    return Case(f"case {seed}", 0, f"g{seed}", stored.image(pixels), {}, stored)


@pytest.mark.parametrize("stored", [Stored(8), Stored(12), Stored(16), WINDOWED])
@pytest.mark.parametrize("levels", [0.4, 1.0, 1.7, 5.0])
def test_a_file_holds_what_is_nearest_and_within_eps(stored: Stored, levels: float) -> None:
    own, eps = [case(stored, seed) for seed in range(3)], levels * stored.step
    x = torch.stack([one.image for one in own])
    x_adv = (
        x + eps * torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).sign()
    ).clamp(0, 1)
    shelf = StoredBatch.of(own, eps)
    kept = shelf.quantise(x_adv)
    assert float((kept - x).abs().max()) <= eps + 2e-7
    assert torch.equal(shelf.quantise(kept), kept)
    assert torch.equal(shelf.quantise(x), x)
    if levels < 1 and stored.plain:
        assert torch.equal(kept, x)
    if levels >= 1:
        assert not torch.equal(kept, x)


class _Linear:
    """Calls an image 1 where its weighted sum exceeds a limit."""

    def __init__(self, weights: Tensor, limit: Tensor) -> None:
        self.weights, self.limit = weights, limit

    def __call__(self, x: Tensor) -> Tensor:
        value = x.flatten(1) @ self.weights - self.limit
        return torch.stack([-value, value], 1)


def test_knowing_rounding_finds_the_best_corner_of_a_linear_model() -> None:
    """One level is allowed: each pixel at the end that the weights ask for, or inside the box."""
    stored = Stored(8)
    own = [case(stored, seed) for seed in range(4)]
    x = torch.stack([one.image for one in own])
    weights = torch.randn(64, generator=torch.Generator().manual_seed(1))
    model = _Linear(weights, torch.tensor(0.0))
    y = torch.zeros(4, dtype=torch.long)
    found = adversarial_rounding(model, StoredBatch.of(own, 1 / 255), x, y, None)
    best = (x + weights.sign().view(1, 1, 8, 8) / 255).clamp(0, 1)
    assert torch.allclose(found, best, atol=1e-6)


def test_knowing_rounding_never_does_worse_and_stays_in_the_file() -> None:
    model = trained(28)
    own = list(cases(12))
    x = torch.stack([one.image for one in own])
    y = torch.tensor([one.label for one in own])
    shelf = StoredBatch.of(own, 2 / 255)
    found = adversarial_rounding(model, shelf, x, y, None)
    ahead = [
        (model(z).gather(1, 1 - y[:, None]) - model(z).gather(1, y[:, None])) for z in (x, found)
    ]
    assert bool((ahead[1] >= ahead[0]).all())
    assert torch.equal(shelf.quantise(found), found)
    assert float((found - x).abs().max()) <= 2 / 255 + 2e-7
