"""Drawn structures of known grey levels, and pointwise networks that outline them.

A pixel of the background is near .2, of an organ near .5, of a lesion near .8, so that a pointwise
linear network outlines them, and what an attacker can do is known pixel by pixel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from robust.cases import Cases, cases_from
from robust.models import Segmenter

LEVELS = (0.2, 0.5, 0.8)
"""Of the background, the organ, the lesion; halfway between two is where the network changes."""
SHARPNESS = 20.0
SIDE = 16
SLICES = 4
NAMES = ("organ", "lesion")


def drawn(
    count: int = 8,
    *,
    volumes: bool = False,
    overlapping: bool = False,
    spacing: tuple[float, ...] | None = None,
) -> Cases:
    """Cases of as many patients: an organ (a disc), with a lesion in it but for every third.

    Where structures overlap, the organ goes on below the lesion.
    """
    rng = np.random.default_rng(0)
    space = (SLICES, SIDE, SIDE) if volumes else (SIDE, SIDE)
    axes = np.indices(space)[-2:]
    images, masks = [], []
    for number in range(count):
        centre = rng.integers(6, 10, 2)[(slice(None), *[None] * len(space))]
        far = np.hypot(*(axes - centre))
        mask = (far < rng.uniform(4, 6)).astype(np.uint8)
        mask[far < 2.5] = 1 if number % 3 == 0 else 2
        noise = rng.uniform(-0.04, 0.04, space)
        images.append(np.round(255 * (np.array(LEVELS)[mask] + noise)).astype(np.uint8)[None])
        layers = np.stack([mask > 0, mask > 1]).astype(np.uint8)
        masks.append(layers if overlapping else mask)
    groups = [f"patient {number}" for number in range(count)]
    x, y = np.stack(images), np.stack(masks)
    return cases_from(x, y, groups, classes=NAMES, spacing=spacing)


class Pointwise(nn.Module):
    """Logits 2 c x - c^2 for the levels c, or x - t for the two thresholds t where they overlap."""

    def __init__(
        self,
        overlapping: bool = False,
        blur: bool = False,
        levels: tuple[float, float, float] = LEVELS,
    ) -> None:
        super().__init__()
        level = torch.tensor(levels)
        self.blur = blur
        if overlapping:
            slope, bias = torch.ones(2), -(level[1:] + level[:-1]) / 2
        else:
            slope, bias = 2 * level, -(level**2)
        self.slope, self.bias = nn.Parameter(SHARPNESS * slope), nn.Parameter(SHARPNESS * bias)

    def forward(self, x: Tensor) -> Tensor:
        """`(n, 1, *space)` to logits `(n, k, *space)`."""
        shape = (1, -1, *[1] * (x.ndim - 2))
        if self.blur:
            smooth: Any = nn.functional.avg_pool3d if x.ndim == 5 else nn.functional.avg_pool2d
            padding = (0, 1, 1) if x.ndim == 5 else 1
            kernel = (1, 3, 3) if x.ndim == 5 else 3
            x = smooth(x, kernel, stride=1, padding=padding, count_include_pad=False)
        return x * self.slope.view(shape) + self.bias.view(shape)


def pointwise(overlapping: bool = False, *, blur: bool = False, **options: Any) -> Segmenter:
    """The network that fits `drawn`; with `blur` it sees the mean of 3 x 3 pixels of a slice."""
    head = "multilabel" if overlapping else "softmax"
    return Segmenter(Pointwise(overlapping, blur), channels=1, **{"head": head, **options})


def bright_organ() -> nn.Module:
    """As a factory for a plan: it outlines the organ of `phantom:organ`, brighter than .5."""
    return Pointwise(levels=(0.3, 0.7, 1.4))
