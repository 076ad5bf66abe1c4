"""Fitting of image-agnostic attacks (universal perturbation, patch) over target labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from robust.scenarios.holdout import Holdout
from robust.tasks.contract import Batch


class Fit(Protocol):
    """Fits a perturbation on a batch, towards targets; None: away from every label."""

    def __call__(self, batch: Batch, target: Tensor | None) -> Tensor:
        """The perturbation."""


def fit_best_target(
    holdout: Holdout, batch: Batch, fit: Fit, apply: Callable[[Batch, Tensor], Tensor]
) -> Tensor:
    """The perturbation that fools the most cases it was fitted on.

    The task says which targets are tried. `apply` puts a perturbation on the images of a batch.
    """
    tried = holdout.task.universal_targets(batch)
    candidates = [fit(batch.take(places), target) for places, target in tried]
    if len(candidates) == 1:
        return candidates[0]
    return max(candidates, key=lambda delta: int(holdout.reached(apply(batch, delta), batch).sum()))
