"""Fitting of image-agnostic attacks (universal perturbation, patch) over target labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from robust.engine.batch import Batch
from robust.scenarios.holdout import Holdout

MAX_LABELS = 10
"""Most target labels that are tried one by one, in the order of the classes."""


class Fit(Protocol):
    """Fits a perturbation on a batch, towards target labels `(n,)`; None: away from every label."""

    def __call__(self, batch: Batch, target: Tensor | None) -> Tensor:
        """The perturbation."""


def fit_best_target(
    holdout: Holdout, batch: Batch, fit: Fit, apply: Callable[[Batch, Tensor], Tensor]
) -> Tensor:
    """The perturbation that fools the most cases it was fitted on.

    One perturbation is fitted away from every label, and one towards each label: with two labels
    alone, the directions from each to the other would cancel out. A goal with a target has one
    candidate. `apply` puts a perturbation on the images of a batch.
    """
    target = holdout.targets(batch)
    if target is not None:
        return fit(batch, target)
    labels = batch.logits.shape[1]
    candidates = [fit(batch, None)] if labels > 2 else []
    for label in range(min(labels, MAX_LABELS)):
        if places := (batch.y != label).nonzero().flatten().tolist():
            part = batch.take(places)
            candidates.append(fit(part, torch.full_like(part.y, label)))
    return max(candidates, key=lambda delta: int(holdout.reached(apply(batch, delta), batch).sum()))
