"""Principal component analysis (Pearson 1901; Hotelling 1933) in closed form."""

from __future__ import annotations

import torch
from torch import Tensor


def principal_axes(x: Tensor, components: int | float) -> tuple[Tensor, Tensor]:
    """The mean `(d,)` and the k orthonormal axes `(k, d)` of points `(n, d)`, largest first.

    `components` is k, or the share of the variance, below 1, that the fewest axes hold together.
    ValueError for points that do not vary, and for a k that leaves no residual.
    """
    mean = x.mean(0)
    _, lengths, axes = torch.linalg.svd(x - mean, full_matrices=False)
    variance = lengths.square()
    if not float(variance.sum()) > 0:
        raise ValueError("the reference images are all equal; there is nothing to learn from them")
    if isinstance(components, float):
        held = variance.cumsum(0) / variance.sum()
        count = int((held < components).sum()) + 1
    else:
        count = components
    most = min(len(x) - 1, x.shape[1]) - 1
    if count > most:
        raise ValueError(
            f"{count} components redraw {len(x)} images of {x.shape[1]} values without a residual; "
            f"components must be at most {max(most, 0)}"
        )
    return mean, axes[:count].contiguous()


def project(x: Tensor, mean: Tensor, axes: Tensor) -> Tensor:
    """The nearest points `(n, d)` of the plane through `mean (d,)` along `axes (k, d)`."""
    return mean + (x - mean) @ axes.T @ axes
