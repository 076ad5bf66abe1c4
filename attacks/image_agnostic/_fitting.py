"""Helpers shared by the image-agnostic attacks: batches drawn at random, clean margins."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from attacks.contract import Model
from attacks.losses import margin

MOMENTUM = 0.9


@torch.no_grad()
def clean_margin(model: Model, x: Tensor, y: Tensor, target: Tensor | None, batch: int) -> float:
    """How far ahead an image may get before it counts no more: the median distance of the clean
    ones from the boundary, in the margin's units. So no image is worth more than the others.
    """
    found = [
        margin(model(x[rows]), y[rows], None if target is None else target[rows])
        for rows in torch.split(torch.arange(len(x), device=x.device), batch)
    ]
    return float(torch.cat(found).abs().median())


def drawn_batches(count: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Places in random order, all of them once before any comes again, without end."""
    while True:
        yield from torch.split(torch.randperm(count, generator=generator), size)
