"""Share of the input gradient outside a mask: what a network that looks at the mask has little of.

Ross, Hughes and Doshi-Velez 2017 (arXiv 1703.03717), "right for the right reasons", penalise
input gradients where a mask says that nothing relevant lies; GradMask (Simpson et al. 2019, arXiv
1904.07478) those of the difference of two logits outside a lesion. Here the penalty is the share of
the squared gradient: its size is free, so that no network wins by flat answers, which would hide
from gradient attacks what it still depends on.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robust.cases.case import NOT_OUTLINED
from robust.errors import InputError


def outside_share(logits: Tensor, x: Tensor, y: Tensor, masks: Tensor) -> Tensor:
    """The share outside the masks of each case's squared input gradient, in [0, 1]: `(n,)`.

    The gradient is that of the log odds of the label `y (n,)`, in `logits (n, k)` of images
    `x (n, c, *space)`, which needs a gradient; the share can be differentiated again. `masks` are
    those of `ImageBatch`. Pixels that do not count are on neither side. A mask without a pixel
    says nothing of where to look: its case has 0, as has one without a gradient.
    """
    own = logits.gather(1, y[:, None]).squeeze(1)
    others = logits.masked_fill(
        torch.zeros_like(logits).scatter(1, y[:, None], 1.0) > 0, -torch.inf
    )
    odds = own - others.logsumexp(1)
    (gradient,) = torch.autograd.grad(odds.sum(), x, create_graph=True)
    # Squares of small half-precision gradients would be 0.
    precise = torch.promote_types(gradient.dtype, torch.float32)
    squared = gradient.to(precise).square().sum(1)
    inside, counted = sides_of(masks, squared.ndim)
    total = (squared * counted).flatten(1).sum(1)
    outside = (squared * (counted & ~inside)).flatten(1).sum(1)
    said = inside.flatten(1).any(1) & (total > 0)
    return torch.where(said, outside / torch.where(said, total, 1.0), 0.0)


def sides_of(masks: Tensor, axes: int) -> tuple[Tensor, Tensor]:
    """Pixels inside the masks, and pixels that count at all: `(n, *space)` bool each."""
    inside, counted = (masks > 0) & (masks != NOT_OUTLINED), masks != NOT_OUTLINED
    if masks.ndim > axes:  # structures that may overlap, a layer each
        return inside.any(1), counted.all(1)
    return inside, counted


def require_masks(masks: Tensor | None) -> Tensor:
    """The masks of a batch; InputError where the cases have none."""
    if masks is None:
        raise InputError(
            "[training] attention_weight needs a mask of each training image, and the data have "
            "none; name their column, region = ... in [data], or remove attention_weight"
        )
    return masks
