"""Helpers shared by the image-agnostic attacks: batches drawn at random, bounded margins."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from attacks.contract import Model
from attacks.dense import is_dense, mean_of_counted, pixel_margin
from attacks.losses import margin

MOMENTUM = 0.9


@torch.no_grad()
def clean_margin(model: Model, x: Tensor, y: Tensor, target: Tensor | None, batch: int) -> float:
    """Bound of the loss: the median absolute margin of the clean images.

    The loss is clipped there, so that no image outweighs the others; of dense logits no pixel.
    """

    def sizes(rows: Tensor) -> Tensor:
        logits, labels = model(x[rows]), y[rows] if target is None else target[rows]
        if is_dense(logits):
            return mean_of_counted(pixel_margin(logits, labels).abs(), labels)
        return margin(logits, y[rows], None if target is None else labels).abs()

    batches = torch.split(torch.arange(len(x), device=x.device), batch)
    return float(torch.cat([sizes(rows) for rows in batches]).median())


def bounded_margin(logits: Tensor, y: Tensor, target: Tensor | None, cap: float) -> Tensor:
    """The margin, or the mean of the pixels' margins, none above `cap`: `(n,)`."""
    if not is_dense(logits):
        return margin(logits, y, target).clamp_max(cap)
    labels = y if target is None else target
    value = pixel_margin(logits, labels)
    return mean_of_counted((value if target is None else -value).clamp_max(cap), labels)


def random_batches(count: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Batches of indices in random order, without end; each index once before any comes again."""
    while True:
        yield from torch.split(torch.randperm(count, generator=generator), size)
