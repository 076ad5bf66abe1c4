"""Squared Euclidean distances between two sets of features."""

from __future__ import annotations

from torch import Tensor


def squared_distances(x: Tensor, points: Tensor) -> Tensor:
    """`(n, d)` and `(m, d)` to `(n, m)`, by one matrix product.

    Both are centred at the mean of `points`, so that float32 keeps small distances far from zero.
    """
    centre = points.mean(0)
    a, b = x - centre, points - centre
    squares = a.square().sum(1, keepdim=True) + b.square().sum(1) - 2 * a @ b.T
    return squares.clamp_min(0)
