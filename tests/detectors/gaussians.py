"""Features of three classes as Gaussian clouds in two layers."""

from __future__ import annotations

import torch
from torch import Tensor

from detectors import Features

CLASSES = 3


def draw(n: int, d: int = 12, seed: int = 0) -> tuple[Features, Tensor]:
    """Two layers of features around a mean a class; the logits predict most labels."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (n,), generator=g)
    mix = torch.randn(d, d, generator=torch.Generator().manual_seed(99), dtype=torch.float64)
    deep = torch.randn(n, d, generator=g, dtype=torch.float64) @ mix + 3 * labels[:, None]
    early = torch.randn(n, 5, generator=g, dtype=torch.float64) * 1e-2 + 40 + labels[:, None]
    logits = torch.nn.functional.one_hot(labels, CLASSES) * 2.0 + torch.randn(
        n, CLASSES, generator=g, dtype=torch.float64
    )
    return Features(logits, {"early": early, "deep": deep}), labels
