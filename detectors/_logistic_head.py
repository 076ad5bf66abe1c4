"""Logistic regression from several statistics of an image to one score, as tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from detectors.contract import Learned


def fit_logistic(clean: Tensor, adversarial: Tensor) -> Learned:
    """The head that separates statistics `(n, m)` of clean images from those of attacked ones.

    Both sides weigh the same whatever their numbers: by class weights, never by copies. The scaler
    is fitted on what the head is fitted on. ValueError for NaN or infinity.
    """
    from sklearn.linear_model import LogisticRegression  # a second, so only where it is used

    rows, attacked = stack_sides(clean, adversarial)
    if not bool(torch.isfinite(rows).all()):
        raise ValueError("a statistic of the calibration is NaN or infinite")
    centre, scale = rows.mean(0), rows.std(0)
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    # Few statistics: Newton's method ends in a handful of steps, five times sooner than L-BFGS.
    head = LogisticRegression(class_weight="balanced", solver="newton-cholesky", max_iter=1000)
    head.fit(((rows - centre) / scale).numpy(), attacked.numpy())
    weight, bias = torch.from_numpy(head.coef_[0]), torch.from_numpy(head.intercept_)
    return {"centre": centre, "scale": scale, "weight": weight, "bias": bias}


def logistic(head: Learned, statistics: Tensor) -> Tensor:
    """Log odds of an attack: `(n, m)` to `(n,)`."""
    centre, scale, weight, bias = (
        head[name].to(statistics) for name in ("centre", "scale", "weight", "bias")
    )
    return ((statistics - centre) / scale) @ weight + bias


def stack_sides(clean: Tensor, adversarial: Tensor) -> tuple[Tensor, Tensor]:
    """Both sides `(n, m)` below each other at float64 on the CPU, and which rows are attacked."""
    rows = torch.cat([clean, adversarial]).detach().double().cpu()
    return rows, torch.arange(len(rows)) >= len(clean)
