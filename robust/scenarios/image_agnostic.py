"""What is made once and fits every image: a universal perturbation, a patch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from robust.engine.batch import Batch
from robust.scenarios.holdout import Holdout, Mask

MOST_LABELS = 10
"""Aimed at one by one, the first ones of the classes."""


def _best(
    ground: Holdout,
    own: Batch,
    fit: Callable[[Batch, Tensor | None], Tensor],
    shown: Callable[[Batch, Tensor], Tensor],
) -> Tensor:
    """Fitted away from every label and towards each: what fools most of the images fitted on.

    Between two labels the ways there and back cancel out, and what fools a few images both ways
    was learned by heart: then each label is aimed at alone. A goal that names it leaves no choice.
    """
    target = ground.targets(own)
    if target is not None:
        return fit(own, target)
    labels = own.logits.shape[1]
    made = [fit(own, None)] if labels > 2 else []
    for label in range(min(labels, MOST_LABELS)):
        if places := (own.y != label).nonzero().flatten().tolist():
            part = own.take(places)
            made.append(fit(part, torch.full_like(part.y, label)))
    return max(made, key=lambda one: int(ground.reached(shown(own, one), own).sum()))


def _none(ground: Holdout) -> Mask:
    return np.zeros(len(ground.batch.rows), bool)
