"""Features of two classes with known distributions, detectors fitted on them, a small network."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from detectors import Detector, Features, FittedDetector, Reconstruction, Reference
from detectors.bayesian_uncertainty import UNCERTAINTY

K = 2

RESIDUAL = repr(Reconstruction())
"""The name in `Features.extras` of what `Reconstruction` reads of an image."""


def draw(n: int, seed: int, shift: float = 0.0, dtype: torch.dtype = torch.float64) -> Features:
    """Features of two classes; `shift` moves them off the data, and makes the classifier unsure."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % K
    deep = torch.randn(n, 8, generator=g, dtype=torch.float64) + 2 * labels[:, None] + shift
    early = torch.randn(n, 4, generator=g, dtype=torch.float64) * 0.1 - shift
    logits = (1 - shift / 4) * 4 * torch.eye(K, dtype=torch.float64)[labels]
    logits = logits + 0.3 * torch.randn(n, K, generator=g, dtype=torch.float64)
    unsure = torch.rand(n, generator=g, dtype=torch.float64) * 0.1 + shift / 10
    residual = torch.rand(n, generator=g, dtype=torch.float64) * 0.1 + shift / 10
    layers = {"early": early.to(dtype), "deep": deep.to(dtype)}
    extras = {UNCERTAINTY: unsure.to(dtype)[:, None], RESIDUAL: residual.to(dtype)[:, None]}
    return Features(logits.to(dtype), layers, extras)


def reference(n: int = 150, **options: Any) -> Reference:
    return Reference(draw(n, 0, **options), torch.arange(n) % K, images=images)


def images() -> list[torch.Tensor]:
    """Images of the reference, in two batches."""
    g = torch.Generator().manual_seed(0)
    return [torch.rand(20, 1, 6, 6, generator=g) for _ in range(2)]


def sides(**options: Any) -> tuple[Features, Features]:
    """Clean images and attacked ones."""
    return draw(60, 1, **options), draw(40, 2, shift=3.0, **options)


def with_head(fitted: FittedDetector, clean: Features, adversarial: Features) -> FittedDetector:
    """With a head fitted on the features of clean and attacked images."""
    return fitted.with_head(fitted.statistics(clean), fitted.statistics(adversarial))


def fit(detector: Detector, head: bool, **options: Any) -> FittedDetector:
    """Fitted on the reference, and on both sides where a head is wanted."""
    fitted = detector.fit(reference(**options))
    return with_head(fitted, *sides(**options)) if head else fitted


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 8, 3, 2), nn.ReLU(), nn.Flatten(),
        nn.Linear(72, 6), nn.Dropout(0.3), nn.Linear(6, 2),
    ).eval()  # fmt: skip
