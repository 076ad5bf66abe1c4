"""The logistic head: several statistics of an image to one score."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from detectors.base import both


@dataclass(frozen=True)
class LogisticHead:
    """Log odds of an attack, linear in standardised statistics."""

    centre: Tensor
    scale: Tensor
    weight: Tensor
    """`(m,)`."""
    bias: float

    @classmethod
    def fit(cls, clean: Tensor, adversarial: Tensor) -> LogisticHead:
        """From statistics `(n, m)` of either side; weights, never copies, make up for numbers.

        The scaler sees what the head sees and nothing else. ValueError for NaN or infinity.
        """
        rows, attacked = both(clean, adversarial)
        if not bool(torch.isfinite(rows).all()):
            raise ValueError("a statistic of the calibration is NaN or infinite")
        centre, scale = rows.mean(0), rows.std(0)
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        head = LogisticRegression(class_weight="balanced", max_iter=1000)
        head.fit(((rows - centre) / scale).numpy(), attacked.numpy())
        weight = torch.from_numpy(head.coef_[0])
        return cls(centre, scale, weight, float(head.intercept_[0]))

    def __call__(self, statistics: Tensor) -> Tensor:
        """`(n, m)` to `(n,)`."""
        one = statistics.device, statistics.dtype
        scaled = (statistics - self.centre.to(*one)) / self.scale.to(*one)
        return scaled @ self.weight.to(*one) + self.bias
