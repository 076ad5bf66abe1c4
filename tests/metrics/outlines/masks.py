"""Random outlines, empty, touching and single pixels among them."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from robust.metrics.arrays import Mask

KINDS = ("blobs", "noise", "pixel", "empty", "edge", "full")


def random_mask(rng: np.random.Generator, space: tuple[int, ...], kind: str) -> Mask:
    """One mask `(*space)`."""
    mask = np.zeros(space, bool)
    if kind == "blobs":
        smooth = ndimage.gaussian_filter(rng.normal(size=space), 1.5)
        return np.asarray(smooth > np.quantile(smooth, rng.uniform(0.5, 0.95)))
    if kind == "noise":
        return rng.random(space) < rng.uniform(0.05, 0.6)
    if kind == "pixel":
        mask[tuple(int(rng.integers(n)) for n in space)] = True
    if kind == "edge":
        mask[: int(rng.integers(1, space[0]))] = True
    return mask | (kind == "full")


def random_pair(
    rng: np.random.Generator, number: int
) -> tuple[Mask, Mask, tuple[float, ...], float]:
    """Prediction, truth, spacing and tolerance, in 2-D or 3-D; every kind meets every kind."""
    space = tuple(rng.integers(5, 20, 2)) if number % 2 else tuple(rng.integers(4, 11, 3))
    space = tuple(int(n) for n in space)
    kinds = [KINDS[number // 2 % len(KINDS)], KINDS[number // 12 % len(KINDS)]]
    predicted, true = (random_mask(rng, space, kind) for kind in kinds)
    if number % 5 == 0:
        # The two touch and do not overlap, or are close to each other.
        predicted = (ndimage.binary_dilation(true) & ~true) if number % 2 else np.roll(true, 1, 0)
    return predicted, true, tuple(rng.uniform(0.4, 3.0, len(space))), float(rng.uniform(0, 3))
