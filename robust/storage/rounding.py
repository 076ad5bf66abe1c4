"""Quantisation of adversarial images to the grey levels of their files, plain and adversarial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attacks import Model
from attacks.losses import AttackLoss, margin
from attacks.threat import per_case
from robust.cases.case import Case, Pixels

SHARES = (1.0, 0.5, 0.25, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
"""Share of the pixels that move by one grey level, round by round."""


@dataclass(frozen=True)
class StoredBatch:
    """The files that a batch came from, and the pixel values that they can hold within eps."""

    cases: tuple[Case, ...]
    originals: tuple[Pixels, ...]
    """The stored pixels of each clean image."""
    eps: float

    @staticmethod
    def of(cases: Sequence[Case], eps: float) -> StoredBatch:
        """The files of these cases."""
        return StoredBatch(tuple(cases), tuple(c.stored.pixels(c.image) for c in cases), eps)

    def quantise(self, x: Tensor) -> Tensor:
        """The nearest images `(n, c, *space)` within eps that the files can hold."""
        found = [
            case.stored.image(case.stored.pixels(image, original, self.eps))
            for case, original, image in zip(self.cases, self.originals, x.cpu(), strict=True)
        ]
        return torch.stack(found).to(x)

    def steps(self, x: Tensor) -> Tensor:
        """One grey level of each file, `(n, 1, ...)`."""
        return per_case(x.new_tensor([case.stored.step for case in self.cases]), x)

    def take(self, rows: Sequence[int]) -> StoredBatch:
        """Only the files at these places."""
        cases = tuple(self.cases[i] for i in rows)
        return StoredBatch(cases, tuple(self.originals[i] for i in rows), self.eps)


def adversarial_rounding(
    model: Model,
    files: StoredBatch,
    x: Tensor,
    y: Tensor,
    target: Tensor | None,
    region: Tensor | None = None,
) -> Tensor:
    """Quantised images of a larger margin than the quantised `x (n, c, *space)`, within eps too.

    Greedy: pixels move by one grey level along the sign of a gradient, first all of them and then
    ever fewer, those of the largest gradient, as long as the margin grows. The gradient is that of
    the margin; of dense logits, whose margin has none, that of the mean margin of the pixels.
    Pixels outside the `region` (n, 1, *space) stay as they are.
    """
    best = x
    best_margin = x.new_full((len(x),), -torch.inf)
    steps = files.steps(x)
    loss = AttackLoss("margin", y, target)
    for share in SHARES:
        with torch.enable_grad():
            z = best.detach().requires_grad_()
            logits = model(z)
            (gradient,) = torch.autograd.grad(loss(logits).sum(), z)
        best_margin = torch.maximum(best_margin, margin(logits.detach(), y, target))
        if region is not None:
            gradient = torch.where(region, gradient, 0.0)
        size = gradient.flatten(1).abs()
        least = size.topk(max(1, round(share * size.shape[1])), dim=1).values[:, -1]
        move = gradient.sign() * (gradient.abs() >= per_case(least, gradient))
        tried = files.quantise(best + steps * move)
        with torch.no_grad():
            gained = margin(model(tried), y, target)
        better = gained > best_margin
        best = torch.where(per_case(better, best), tried, best)
        best_margin = torch.where(better, gained, best_margin)
    return best
