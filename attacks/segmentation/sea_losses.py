"""The losses of SEA on dense logits: Croce et al. 2024 (arXiv 2306.12941)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from attacks.dense import mean_of_counted, overlapping, pixel_cross_entropy, pixel_margin
from attacks.segmentation.pixels import won_pixels


def jensen_shannon(logits: Tensor, y: Tensor, target: Tensor | None = None) -> Tensor:
    """Divergence of a pixel's probabilities from its one-hot label, the mean over pixels: `(n,)`.

    Between 0 and log 2; minus that of the target. A function of the label's probability p alone,
    whose gradient vanishes where a pixel is surely right and where it is surely wrong.
    """
    labels = y if target is None else target
    cost = pixel_cross_entropy(logits, labels)
    p = (-cost).exp()
    value = mean_of_counted(math.log(2) - (p * cost + (1 + p) * p.log1p()) / 2, labels)
    return value if target is None else -value


def masked_cross_entropy(logits: Tensor, y: Tensor, target: Tensor | None = None) -> Tensor:
    """Cross-entropy with a gradient only at the pixels that are not won yet: `(n,)`.

    See `_measured_by_cross_entropy` for its value.
    """
    labels = y if target is None else target
    return _measured_by_cross_entropy(pixel_cross_entropy(logits, labels), logits, y, target)


def masked_spherical(logits: Tensor, y: Tensor, target: Tensor | None = None) -> Tensor:
    """Minus the label's part of the logits' direction at the pixels that are not won yet: `(n,)`.

    The logits of a pixel are divided by their length. With one logit against 0 (two classes,
    overlapping structures) only a sign is left of that, so the margin takes its place. See
    `_measured_by_cross_entropy` for its value.
    """
    labels = y if target is None else target
    if overlapping(logits, labels) or logits.shape[1] == 2:
        values = pixel_margin(logits, labels)
    else:
        flat = logits.flatten(2)
        own = flat.gather(1, labels.flatten(1).clamp_min(0)[:, None]).squeeze(1)
        smallest = torch.finfo(flat.dtype).tiny ** 0.5
        values = -own / torch.linalg.vector_norm(flat, dim=1).clamp_min(smallest)
    return _measured_by_cross_entropy(values, logits, y, target)


def _measured_by_cross_entropy(
    values: Tensor, logits: Tensor, y: Tensor, target: Tensor | None
) -> Tensor:
    """The gradient of `values (n, pixels)` at pixels that are not won, the value of cross-entropy.

    A masked sum falls with each pixel that is won, so that it cannot say whether a step was good.
    """
    labels = y if target is None else target
    open_pixels = ~won_pixels(logits.detach(), y, target)
    masked = mean_of_counted(torch.where(open_pixels, values, 0.0), labels)
    measure = mean_of_counted(pixel_cross_entropy(logits.detach(), labels), labels)
    value = masked + (measure - masked.detach())
    return value if target is None else -value
