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
    """Bound of the loss: the median absolute margin of the clean images.

    The loss is clipped there, so that no image outweighs the others.
    """
    margins = [
        margin(model(x[rows]), y[rows], None if target is None else target[rows])
        for rows in torch.split(torch.arange(len(x), device=x.device), batch)
    ]
    return float(torch.cat(margins).abs().median())


def random_batches(count: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Batches of indices in random order, without end; each index once before any comes again."""
    while True:
        yield from torch.split(torch.randperm(count, generator=generator), size)
