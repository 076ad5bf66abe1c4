"""Attack losses: cross-entropy, margin, DLR; larger is nearer to the attacker's goal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.contract import Model

LOSSES = ("cross_entropy", "margin", "dlr")

MAX_TARGETS = 9
"""Targeted runs at most, towards the likeliest wrong labels, as in AutoAttack."""


def cross_entropy(logits: Tensor, y: Tensor, target: Tensor | None = None) -> Tensor:
    """Cross-entropy of the true label, or minus that of the target: `(n,)`."""
    if target is None:
        return F.cross_entropy(logits, y, reduction="none")
    return -F.cross_entropy(logits, target, reduction="none")


def margin(logits: Tensor, y: Tensor, target: Tensor | None = None) -> Tensor:
    """Logit gap by which the attacker is ahead: `(n,)`, above 0 exactly where the goal is reached.

    Untargeted: the best wrong logit minus the true one. Targeted: the target minus the best other.
    """
    label = y if target is None else target
    label_logit = logits.gather(1, label[:, None]).squeeze(1)
    best_other = logits.scatter(1, label[:, None], -torch.inf).amax(1)
    return best_other - label_logit if target is None else label_logit - best_other


def dlr(logits: Tensor, y: Tensor, target: Tensor | None = None) -> Tensor:
    """Difference of logits ratio, Croce and Hein 2020: the margin in units of the logits' spread.

    The spread is from the largest logit to the third, towards a target to the mean of the third and
    the fourth; where a model has too few classes for that, this is the margin itself: `(n,)`.
    """
    value = margin(logits, y, target)
    needed = 3 if target is None else 4
    if logits.shape[1] < needed:
        return value
    top = logits.topk(needed, 1).values
    spread = top[:, 0] - top[:, 2:needed].mean(1)
    return value / spread.clamp_min(torch.finfo(logits.dtype).tiny ** 0.5)


def saturated(logits: Tensor, y: Tensor) -> Tensor:
    """Where the probability of the true label rounds towards 1: `(n,)` bool.

    There the gradient of cross-entropy is (1 - p_y) times that of a margin; once 1 - p_y is below
    the square root of the machine's precision, half of its digits are gone, and soon all of them.
    """
    smallest: float = torch.finfo(logits.dtype).eps ** 0.5
    return F.cross_entropy(logits, y, reduction="none") < smallest


@dataclass(frozen=True)
class AttackLoss:
    """A named loss for one batch.

    With `margin_fallback`, the margin replaces cross-entropy case by case where that is saturated:
    its gradient has the limit of cross-entropy's direction, with the digits that are lost there.
    """

    name: str
    y: Tensor
    target: Tensor | None = None
    margin_fallback: bool = True

    def __post_init__(self) -> None:
        if self.name not in LOSSES:
            raise ValueError(f"unknown loss {self.name!r}; choose {' or '.join(LOSSES)}")

    def __call__(self, logits: Tensor) -> Tensor:
        """The value to be increased: `(n,)`."""
        if self.name == "margin":
            return margin(logits, self.y, self.target)
        if self.name == "dlr":
            return dlr(logits, self.y, self.target)
        value = cross_entropy(logits, self.y, self.target)
        if self.margin_fallback and self.target is None:
            value = torch.where(saturated(logits, self.y), margin(logits, self.y), value)
        return value


def climb(
    model: Callable[[Tensor], Tensor], x: Tensor, loss: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """One forward and one backward pass: `logits (n, k)` and the loss's gradient in `x`.

    Only `x` is differentiated: parameters keep their `.grad` as it was.
    """
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        logits = model(x)
        (gradient,) = torch.autograd.grad(loss(logits).sum(), x)
    return logits.detach(), gradient


def likeliest_wrong(model: Model, x: Tensor, y: Tensor) -> Tensor:
    """The wrong labels of each case, likeliest first: `(n, k - 1)`."""
    with torch.no_grad():
        logits = model(x)
    is_label = torch.zeros_like(logits, dtype=torch.bool).scatter(1, y[:, None], True)
    return logits.masked_fill(is_label, -torch.inf).argsort(1, descending=True)[:, :-1]
