"""Attack losses: cross-entropy, margin, DLR, Dice; larger is nearer to the attacker's goal.

Each is of logits `(n, k)` with labels `(n,)`, or of dense logits with labels as in `attacks.dense`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.contract import Model
from attacks.dense import IGNORE as IGNORE
from attacks.dense import (
    counted_pixels,
    hard_dice,
    is_dense,
    mean_of_counted,
    pixel_cross_entropy,
    pixel_margin,
    right_pixels,
    soft_dice,
)
from attacks.segmentation.sea_losses import (
    jensen_shannon,
    masked_cross_entropy,
    masked_spherical,
)

MAX_TARGETS = 9
"""Targeted runs at most, towards the likeliest wrong labels, as in AutoAttack."""
ROUNDING = 1e-4
"""Relative to the largest logit: a smaller margin may be rounding error."""


def cross_entropy(logits: Tensor, y: Tensor, target: Tensor | None = None) -> Tensor:
    """Cross-entropy of the true label, or minus that of the target: `(n,)`.

    Of dense logits the mean over the pixels that count.
    """
    labels = y if target is None else target
    if is_dense(logits):
        value = mean_of_counted(pixel_cross_entropy(logits, labels), labels)
    else:
        value = F.cross_entropy(logits, labels, reduction="none")
    return value if target is None else -value


def margin(logits: Tensor, y: Tensor, target: Tensor | None = None) -> Tensor:
    """How far the attacker is ahead, `(n,)`: what the most damaging image has most of.

    Of `(n, k)` the logit gap, above 0 exactly where the goal is reached. Untargeted: the best wrong
    logit minus the true one. Targeted: the target minus the best other.

    Of dense logits, without a gradient, 0 exactly where nothing more can be gained. Untargeted:
    minus the mean hard Dice over the structures (`dense.hard_dice`). Targeted: the share of its
    pixels that agree, minus 1.
    """
    if is_dense(logits):
        return _damage(logits, y, target)
    label = y if target is None else target
    label_logit = logits.gather(1, label[:, None]).squeeze(1)
    best_other = logits.scatter(1, label[:, None], -torch.inf).amax(1)
    return best_other - label_logit if target is None else label_logit - best_other


def beyond_rounding(value: Tensor, logits: Tensor) -> Tensor:
    """Where a margin `(n,)` is above zero by more than rounding could account for.

    That of dense logits counts pixels: at zero nothing more can be gained.
    """
    if is_dense(logits):
        return value >= 0
    return value > ROUNDING * logits.abs().amax(1).clamp_min(1)


@torch.no_grad()
def _damage(logits: Tensor, y: Tensor, target: Tensor | None) -> Tensor:
    if target is None:
        return -hard_dice(logits, y).mean(1)
    wished = counted_pixels(target).sum(1)
    missed = wished - right_pixels(logits, target).sum(1)
    dtype = torch.promote_types(logits.dtype, torch.float32)
    return -missed.to(dtype) / wished.clamp_min(1)


def mean_pixel_margin(logits: Tensor, y: Tensor, target: Tensor | None = None) -> Tensor:
    """The mean margin of the pixels of dense logits, or minus that towards a target: `(n,)`."""
    labels = y if target is None else target
    value = mean_of_counted(pixel_margin(logits, labels), labels)
    return value if target is None else -value


def dice(logits: Tensor, y: Tensor, target: Tensor | None = None) -> Tensor:
    """1 - soft Dice, the mean over the structures, or minus that of the target: `(n,)`."""
    value = 1 - soft_dice(logits, y if target is None else target).mean(1)
    return value if target is None else -value


def cross_entropy_dice(logits: Tensor, y: Tensor, target: Tensor | None = None) -> Tensor:
    """The sum of cross-entropy and Dice loss of dense logits, each with weight 1: `(n,)`."""
    return cross_entropy(logits, y, target) + dice(logits, y, target)


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


def probability_margin(logits: Tensor, y: Tensor, target: Tensor | None = None) -> Tensor:
    """The margin of the probabilities, in [-1, 1], Xie et al. 2024 (arXiv 2411.15210): `(n,)`."""
    return margin(logits.softmax(1), y, target)


def saturated(logits: Tensor, y: Tensor, entropy: Tensor | None = None) -> Tensor:
    """Where the gradient of cross-entropy is lost, since the model is too sure: `(n,)` bool.

    Of `(n, k)` where the probability of the true label rounds towards 1. There the gradient is
    (1 - p_y) times that of a margin; once 1 - p_y is below the square root of the machine's
    precision, half of its digits are gone, and soon all of them. The cross-entropy of a pixel keeps
    them; of dense logits the gradient is lost where all pixels are right and it underflows.
    `entropy (n,)`: their cross-entropy, where it is known.
    """
    limits = torch.finfo(logits.dtype)
    smallest: float = (limits.tiny if is_dense(logits) else limits.eps) ** 0.5
    return (cross_entropy(logits, y) if entropy is None else entropy) < smallest


LossFunction = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""Of logits, labels and targets (or None) to the value to be increased, `(n,)`."""

CLASS_LOSSES: Mapping[str, LossFunction] = {
    "cross_entropy": cross_entropy,
    "margin": margin,
    "dlr": dlr,
    "probability_margin": probability_margin,
}
"""Losses of logits `(n, k)`, by name."""
DENSE_LOSSES: Mapping[str, LossFunction] = {
    "cross_entropy": cross_entropy,
    "margin": mean_pixel_margin,
    "dice": dice,
    "cross_entropy_dice": cross_entropy_dice,
    "jensen_shannon": jensen_shannon,
    "masked_cross_entropy": masked_cross_entropy,
    "masked_spherical": masked_spherical,
}
"""Losses of dense logits, by name."""
LOSSES = tuple(dict.fromkeys([*CLASS_LOSSES, *DENSE_LOSSES]))


@dataclass(frozen=True)
class AttackLoss:
    """A named loss for one batch, of the form that its labels have.

    With `margin_fallback`, the margin replaces every other loss but DLR case by case where
    cross-entropy is saturated: its gradient has the limit of cross-entropy's direction, with the
    digits that are lost there. Raises ValueError for a loss that such logits do not have.
    """

    name: str
    y: Tensor
    target: Tensor | None = None
    margin_fallback: bool = True

    def __post_init__(self) -> None:
        if self.name not in LOSSES:
            raise ValueError(f"unknown loss {self.name!r}; choose {' or '.join(LOSSES)}")
        if self.name not in self._losses:
            kind = "dense logits" if self.y.ndim > 1 else "logits (n, k)"
            raise ValueError(
                f"there is no loss {self.name!r} of {kind}; choose {' or '.join(self._losses)}"
            )

    @property
    def _losses(self) -> Mapping[str, LossFunction]:
        return DENSE_LOSSES if self.y.ndim > 1 else CLASS_LOSSES

    def __call__(self, logits: Tensor) -> Tensor:
        """The value to be increased: `(n,)`."""
        value = self._losses[self.name](logits, self.y, self.target)
        falls_back = self.margin_fallback and self.target is None
        if not falls_back or self.name in ("margin", "dlr"):
            return value
        entropy = value.detach() if self.name == "cross_entropy" else None
        lost = saturated(logits.detach(), self.y, entropy)
        if is_dense(logits) and not bool(lost.any()):
            return value  # spares a volume the memory of a second loss
        return torch.where(lost, self._losses["margin"](logits, self.y, None), value)


def climb(
    model: Callable[[Tensor], Tensor], x: Tensor, loss: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """One forward and one backward pass: the logits and the loss's gradient in `x`.

    Only `x` is differentiated: parameters keep their `.grad` as it was.
    """
    return climb_and_value(model, x, loss)[:2]


def climb_and_value(
    model: Callable[[Tensor], Tensor], x: Tensor, loss: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """The same, and the loss itself `(n,)`."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        logits = model(x)
        value = loss(logits)
        (gradient,) = torch.autograd.grad(value.sum(), x)
    return logits.detach(), gradient, value.detach()


def likeliest_wrong(model: Model, x: Tensor, y: Tensor) -> Tensor:
    """The wrong labels of each case, likeliest first: `(n, k - 1)`."""
    with torch.no_grad():
        logits = model(x)
    is_label = torch.zeros_like(logits, dtype=torch.bool).scatter(1, y[:, None], True)
    return logits.masked_fill(is_label, -torch.inf).argsort(1, descending=True)[:, :-1]
