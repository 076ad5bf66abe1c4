"""Quantisation of adversarial images to the bit depth of their file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attacks import Model
from attacks.losses import margin
from attacks.threat import per_case
from robust.cases.case import Case, Pixels

SHARES = (1.0, 0.5, 0.25, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
"""Of the pixels, those that move by one level at once, the most telling ones; round by round."""


@dataclass(frozen=True)
class StoredBatch:
    """The files of a batch: what they hold, and what they can hold within eps."""

    cases: tuple[Case, ...]
    originals: tuple[Pixels, ...]
    eps: float

    @staticmethod
    def of(cases: Sequence[Case], eps: float) -> StoredBatch:
        return StoredBatch(tuple(cases), tuple(c.stored.pixels(c.image) for c in cases), eps)

    def put(self, x: Tensor) -> Tensor:
        """The nearest images `(n, c, h, w)` that the files can hold."""
        found = [
            case.stored.image(case.stored.pixels(image, original, self.eps))
            for case, original, image in zip(self.cases, self.originals, x.cpu(), strict=True)
        ]
        return torch.stack(found).to(x)

    def steps(self, x: Tensor) -> Tensor:
        """One grey level of each file, `(n, 1, 1, 1)`."""
        return per_case(x.new_tensor([case.stored.step for case in self.cases]), x)

    def take(self, rows: Sequence[int]) -> StoredBatch:
        cases = tuple(self.cases[i] for i in rows)
        return StoredBatch(cases, tuple(self.originals[i] for i in rows), self.eps)


def adversarial_rounding(
    model: Model, shelf: StoredBatch, kept: Tensor, y: Tensor, target: Tensor | None
) -> Tensor:
    """Images on the shelf's levels that the model likes better than `kept (n, c, h, w)`.

    Greedy: where the gradient at a stored image says so, pixels move by a level, first all of them
    and then ever fewer, as long as the margin grows.
    """
    best = kept
    ahead = torch.full_like(kept[:, 0, 0, 0], -torch.inf)
    steps = shelf.steps(kept)
    for share in SHARES:
        with torch.enable_grad():
            z = best.detach().requires_grad_()
            value = margin(model(z), y, target)
            (gradient,) = torch.autograd.grad(value.sum(), z)
        ahead = torch.maximum(ahead, value.detach())
        size = gradient.flatten(1).abs()
        least = size.topk(max(1, round(share * size.shape[1])), dim=1).values[:, -1]
        move = gradient.sign() * (gradient.abs() >= per_case(least, gradient))
        tried = shelf.put(best + steps * move)
        with torch.no_grad():
            gained = margin(model(tried), y, target)
        better = gained > ahead
        best = torch.where(per_case(better, best), tried, best)
        ahead = torch.where(better, gained, ahead)
    return best
