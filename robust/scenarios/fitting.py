"""Fitting of image-agnostic attacks (universal perturbation, patch) over target labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from robust.engine.batch import Batch
from robust.scenarios.holdout import Holdout

MOST_LABELS = 10
"""Target labels that are tried one by one: the first ones of the classes."""


class Fit(Protocol):
    """Makes a perturbation from the cases of a batch, towards a target label `(n,)` or any."""

    def __call__(self, batch: Batch, target: Tensor | None) -> Tensor:
        """The perturbation."""


def fit_best_target(
    holdout: Holdout, batch: Batch, fit: Fit, apply: Callable[[Batch, Tensor], Tensor]
) -> Tensor:
    """The perturbation that fools most of the cases it was fitted on.

    It is fitted away from every label, and towards each label alone: between two labels the
    directions there and back cancel out. A goal with a target leaves no choice. `apply` puts a
    perturbation on the images of a batch.
    """
    target = holdout.targets(batch)
    if target is not None:
        return fit(batch, target)
    labels = batch.logits.shape[1]
    made = [fit(batch, None)] if labels > 2 else []
    for label in range(min(labels, MOST_LABELS)):
        if places := (batch.y != label).nonzero().flatten().tolist():
            part = batch.take(places)
            made.append(fit(part, torch.full_like(part.y, label)))
    return max(made, key=lambda one: int(holdout.reached(apply(batch, one), batch).sum()))
