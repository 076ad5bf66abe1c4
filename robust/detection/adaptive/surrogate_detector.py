"""Differentiable surrogate of a detector: kernel ridge regression on its scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from detectors._distances import squared_distances
from detectors.features import Features
from robust.cases.index.sampling import sample_places

MIXING_WEIGHTS = (0.25, 0.5, 0.75)
"""Weights of the attacked features in queried mixtures with clean features."""
MAX_QUERIES = 1500
"""Most features queried; the cost of the fit grows with their cube."""
RIDGE_PENALTY = 1e-2


@dataclass(frozen=True)
class SurrogateDetector:
    """Kernel ridge regression of a detector's score on the standardised deep feature."""

    points: Tensor
    """`(m, d)`, the standardised features that were queried."""
    weight: Tensor
    """`(m,)`."""
    centre: Tensor
    """`(d,)`."""
    scale: Tensor
    """`(d,)`."""
    gamma: float
    """Gamma of the radial basis function kernel."""
    offset: float
    """The mean score."""

    def __call__(self, deep: Tensor) -> Tensor:
        """Scores `(n,)` of deep features `(n, d)`, differentiable."""
        points, weight, centre, scale = (
            part.to(deep) for part in (self.points, self.weight, self.centre, self.scale)
        )
        squares = squared_distances((deep - centre) / scale, points)
        return (-self.gamma * squares).exp() @ weight + self.offset


def fit_surrogate(
    score: Callable[[Features], Tensor], clean: Features, attacked: Features
) -> SurrogateDetector:
    """Query a detector's `score` on clean and attacked features and on mixtures; fit it."""
    from sklearn.kernel_ridge import KernelRidge  # a second, so only where it is used

    queried = _queries(clean, attacked)
    with torch.no_grad():
        scores = score(queried).double().cpu().numpy()
    # An image without a score is as suspicious as any.
    finite = np.isfinite(scores)
    scores = np.where(finite, scores, scores[finite].max(initial=0.0))
    deep = queried.deep.double().cpu()
    centre, scale = deep.mean(0), deep.std(0)
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    points = (deep - centre) / scale
    gamma = 1 / max(float(squared_distances(points, points).median()), 1e-12)
    offset = float(scores.mean())
    ridge = KernelRidge(alpha=RIDGE_PENALTY, kernel="rbf", gamma=gamma)
    ridge.fit(points.numpy(), scores - offset)
    return SurrogateDetector(
        points, torch.from_numpy(ridge.dual_coef_), centre, scale, gamma, offset
    )


def rank_agreement(
    surrogate: SurrogateDetector, score: Callable[[Features], Tensor], unseen: Features
) -> float:
    """Spearman's rank correlation of surrogate and detector on features that were not queried.

    0 where the detector gives all of them the same score.
    """
    with torch.no_grad():
        predicted, scores = surrogate(unseen.deep).double(), score(unseen).double()
    if len(scores) < 3 or bool((scores == scores[0]).all()):
        return 0.0
    found = float(spearmanr(predicted.cpu().numpy(), scores.cpu().numpy()).statistic)
    return found if np.isfinite(found) else 0.0


def _queries(clean: Features, attacked: Features) -> Features:
    """Clean and attacked features and mixtures of pairs of them, at most `MAX_QUERIES`."""
    share = MAX_QUERIES // (2 + len(MIXING_WEIGHTS))
    a, b = (side.take(torch.tensor(sample_places(len(side), share))) for side in (clean, attacked))
    pairs = max(len(a), len(b))
    one, other = (side.take(torch.arange(pairs) % len(side)) for side in (a, b))
    return Features.cat([a, b, *(_mixture(one, other, weight) for weight in MIXING_WEIGHTS)])


def _mixture(a: Features, b: Features, weight: float) -> Features:
    def mix(x: Tensor, y: Tensor) -> Tensor:
        return torch.lerp(x, y, weight)

    return Features(
        mix(a.logits, b.logits),
        {name: mix(a.layers[name], b.layers[name]) for name in a.layers},
        {name: mix(a.extras[name], b.extras[name]) for name in a.extras},
    )
