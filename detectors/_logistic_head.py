"""The logistic head: several statistics of an image to one score."""

from __future__ import annotations

import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from detectors.contract import Learned, both


def fit_logistic(clean: Tensor, adversarial: Tensor) -> Learned:
    """From statistics `(n, m)` of either side; weights, never copies, make up for numbers.

    The scaler sees what the head sees and nothing else. ValueError for NaN or infinity.
    """
    rows, attacked = both(clean, adversarial)
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
