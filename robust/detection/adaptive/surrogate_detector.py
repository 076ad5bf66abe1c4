"""A smooth stand-in for a detector without gradients, fitted to its scores by asking it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.kernel_ridge import KernelRidge
from torch import Tensor

from detectors._distances import squared_distances
from detectors.features import Features
from robust.cases.case import spread

MIXES = (0.25, 0.5, 0.75)
"""Shares of the way from a clean image's features to an attacked one's that are asked about."""
MOST = 1500
"""Features asked about at most; the fit costs their cube."""
RIDGE = 1e-2


@dataclass(frozen=True)
class SurrogateDetector:
    """Kernel ridge regression of a detector's score on the standardised deep feature."""

    points: Tensor
    weight: Tensor
    centre: Tensor
    scale: Tensor
    gamma: float
    level: float

    def __call__(self, deep: Tensor) -> Tensor:
        """`(n, d)` to `(n,)`, differentiable."""
        points, weight, centre, scale = (
            part.to(deep) for part in (self.points, self.weight, self.centre, self.scale)
        )
        squares = squared_distances((deep - centre) / scale, points)
        return (-self.gamma * squares).exp() @ weight + self.level


def fit_surrogate(
    score: Callable[[Features], Tensor], clean: Features, attacked: Features
) -> SurrogateDetector:
    """Ask a detector's `score` about features of either side, and of all that lies between them."""
    asked = _between(clean, attacked)
    with torch.no_grad():
        wanted = score(asked).double().cpu().numpy()
    deep = asked.deep.double().cpu()
    centre, scale = deep.mean(0), deep.std(0)
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    points = (deep - centre) / scale
    gamma = 1 / max(float(squared_distances(points, points).median()), 1e-12)
    level = float(wanted.mean())
    ridge = KernelRidge(alpha=RIDGE, kernel="rbf", gamma=gamma)
    ridge.fit(points.numpy(), wanted - level)
    return SurrogateDetector(
        points, torch.from_numpy(ridge.dual_coef_), centre, scale, gamma, level
    )


def agreement(
    follower: SurrogateDetector, score: Callable[[Features], Tensor], seen: Features
) -> float:
    """Spearman's rank correlation of the two on features that were not asked about.

    0 where the detector gives all of them one score.
    """
    with torch.no_grad():
        own, wanted = follower(seen.deep).double(), score(seen).double()
    if len(wanted) < 3 or bool((wanted == wanted[0]).all()):
        return 0.0
    found = float(spearmanr(own.cpu().numpy(), wanted.cpu().numpy()).statistic)
    return found if np.isfinite(found) else 0.0


def _between(clean: Features, attacked: Features) -> Features:
    """Either side, and mixtures of pairs of them, as many of each as `MOST` allows."""
    share = MOST // (2 + len(MIXES))
    a, b = (side.take(torch.tensor(spread(range(len(side)), share))) for side in (clean, attacked))
    pairs = max(len(a), len(b))
    one, other = (side.take(torch.arange(pairs) % len(side)) for side in (a, b))
    return Features.cat([a, b, *(_mixed(one, other, t) for t in MIXES)])


def _mixed(a: Features, b: Features, t: float) -> Features:
    def mix(x: Tensor, y: Tensor) -> Tensor:
        return torch.lerp(x, y, t)

    return Features(
        mix(a.logits, b.logits),
        {name: mix(a.layers[name], b.layers[name]) for name in a.layers},
        {name: mix(a.extras[name], b.extras[name]) for name in a.extras},
    )
