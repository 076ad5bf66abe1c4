"""Quantisation within eps and the levels of a file; adversarial rounding against the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from attacks.losses import climb, margin
from attacks.threat import per_case
from robust.cases.case import Case
from robust.cases.stored_pixels import Stored, Window
from robust.storage.rounding import SHARES, StoredBatch, adversarial_rounding
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


def passes(
    model: nn.Module, shelf: StoredBatch, x: Tensor, y: Tensor, stop: bool
) -> tuple[Tensor, int, int]:
    """The rounded images, and how many images went through the network each way."""
    ways = [0, 0]

    def counted(z: Tensor) -> Tensor:
        logits: Tensor = model(z)
        ways[0] += len(z)
        if logits.requires_grad:
            logits.register_hook(lambda _: ways.__setitem__(1, ways[1] + len(z)))  # type: ignore[no-untyped-call]
        return logits

    return adversarial_rounding(counted, shelf, x, y, None, stop=stop), ways[0], ways[1]


def plainly(model: nn.Module, shelf: StoredBatch, x: Tensor, y: Tensor) -> Tensor:
    """The greedy search without shortcuts: a gradient in every round, file by file."""
    best = x
    for share in SHARES:
        logits, gradient = climb(model, best, lambda out: margin(out, y))
        least = gradient.flatten(1).abs().sort(1, descending=True).values
        least = least[:, max(1, round(share * least.shape[1])) - 1]
        move = gradient.sign() * (gradient.abs() >= per_case(least, gradient))
        wanted = best + shelf.steps(best) * move
        tried = torch.stack(
            [
                one.stored.image(one.stored.pixels(image, one.stored.pixels(one.image), shelf.eps))
                for one, image in zip(shelf.cases, wanted, strict=True)
            ]
        )
        with torch.no_grad():
            better = margin(model(tried), y) > margin(logits, y)
        best = torch.where(per_case(better, best), tried, best)
    return best


@pytest.mark.parametrize("levels", [1.2, 3.4])
def test_the_shortcuts_change_no_image(levels: float) -> None:
    """Two kinds of file in one batch, and no more than 20 forward and 10 backward passes."""
    model, own = trained(28).eval(), list(cases(12))
    for i in range(0, 12, 3):
        image = WINDOWED.image(WINDOWED.pixels(own[i].image))
        own[i] = replace(own[i], image=image, stored=WINDOWED)
    x, y = torch.stack([one.image for one in own]), torch.tensor([one.label for one in own])
    shelf = StoredBatch.of(own, levels / 255)
    found, forward, backward = passes(model, shelf, x, y, stop=False)
    assert torch.equal(found, plainly(model, shelf, x, y))
    assert not torch.equal(found, x)
    assert forward == 12 * (1 + len(SHARES)) and backward <= 12 * len(SHARES)


def test_a_case_ends_once_its_image_is_misread() -> None:
    model, own = trained(28).eval(), list(cases(12))
    x, y = torch.stack([one.image for one in own]), torch.tensor([one.label for one in own])
    ended = 0
    for levels in (4, 8, 16):
        shelf = StoredBatch.of(own, levels / 255)
        to_the_end, most, _ = passes(model, shelf, x, y, stop=False)
        found, forward, _ = passes(model, shelf, x, y, stop=True)
        with torch.no_grad():
            late, soon = (model(z).argmax(1) != y for z in (to_the_end, found))
        assert torch.equal(late, soon)
        assert torch.equal(found[~soon], to_the_end[~soon])
        ended += most - forward
    assert ended > 0


def test_where_a_file_has_no_other_level_within_eps_no_pass_is_made() -> None:
    model, own = trained(28).eval(), list(cases(6))
    fine = Stored(16)
    own[1] = replace(own[1], stored=fine)
    x, y = torch.stack([one.image for one in own]), torch.tensor([one.label for one in own])
    found, forward, _ = passes(model, StoredBatch.of(own, 0.6 / 255), x, y, stop=False)
    assert forward == 1 + len(SHARES)  # of the file of 16 bits alone
    assert torch.equal(found[2:], x[2:]) and torch.equal(found[0], x[0])
    own[1] = replace(own[1], stored=Stored(8))
    assert passes(model, StoredBatch.of(own, 0.6 / 255), x, y, stop=False)[1:] == (0, 0)
