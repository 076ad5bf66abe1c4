"""What detectors that look at neighbours share: reference points drawn once, and their score."""

from __future__ import annotations

import torch
from torch import Tensor

from detectors._logistic_head import logistic
from detectors.contract import Learned, Reference
from detectors.features import Features


def drawn_points(reference: Reference, count: int, seed: int) -> tuple[Features, Learned]:
    """`count` reference images drawn by a seed, and their features as `layer NAME`."""
    draw = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(reference.labels), generator=draw)[:count]
    chosen = reference.features.take(rows.to(reference.labels.device))
    return chosen, {f"layer {name}": value.detach() for name, value in chosen.layers.items()}


def standardised_score(statistics: Tensor, learned: Learned, head: Learned | None) -> Tensor:
    """The mean over layers, standardised by `centre` and `scale`, or the log odds of the head."""
    if head is not None:
        return logistic(head, statistics)
    centre, scale = (learned[name].to(statistics) for name in ("centre", "scale"))
    return ((statistics - centre) / scale).mean(1)
