"""CosPGD: Agnihotri et al. 2024 (arXiv 2302.02213)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.dense import overlapping, pixel_margin
from attacks.segmentation.weighted_pgd import WeightedPixelPGD


@dataclass(frozen=True)
class CosPGD(WeightedPixelPGD):
    """PGD that weighs each pixel by how well its probabilities still agree with its label.

    Use it on segmenters beside PGD and SegPGD. The weight is the cosine between the probabilities
    of a pixel and its label as a one-hot vector: near 1 where the model is sure and right, near 0
    where it is sure and wrong. Towards a target it is 1 minus the cosine with the target.
    """

    stream_name: ClassVar[str] = "CosPGD"

    def weights(self, logits: Tensor, y: Tensor, target: Tensor | None, progress: float) -> Tensor:
        """The cosine with the label, or 1 minus that with the target."""
        if target is None:
            return cosine(logits, y)
        return 1 - cosine(logits, target)


def cosine(logits: Tensor, labels: Tensor) -> Tensor:
    """Between probabilities and one-hot labels: `(n, pixels)` in [0, 1].

    Softmax of exclusive classes; of an overlapping structure the sigmoid and its complement.
    """
    if overlapping(logits, labels):
        # With p = sigmoid(-m) and odds e^m against it: p / |(p, 1 - p)| = 1 / sqrt(1 + e^2m).
        log_cosine = -F.softplus(2 * pixel_margin(logits, labels)) / 2
    else:
        label = labels.flatten(1).clamp_min(0)[:, None]
        flat = logits.flatten(2)
        log_cosine = flat.gather(1, label).squeeze(1) - torch.logsumexp(2 * flat, 1) / 2
    return log_cosine.exp()
