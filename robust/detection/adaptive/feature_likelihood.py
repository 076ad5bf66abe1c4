"""Class-conditional feature likelihood: a Gaussian mixture for each class and layer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from detectors import Features, Reference

MAX_COMPONENTS, IMAGES_PER_COMPONENT = 8, 20
"""Gaussians per class and layer at most, and images that each needs (Yao et al. take 64)."""
VARIANCE_FLOOR = 1e-3
"""Smallest variance, as a share of the layer's mean variance: constant channels forbid nothing."""


@dataclass(frozen=True)
class Mixture:
    """A mixture of g Gaussians with a variance for each of d channels."""

    log_weights: Tensor
    """`(g,)`."""
    means: Tensor
    """`(g, d)`."""
    scales: Tensor
    """`(g, d)`, standard deviations."""

    def __call__(self, x: Tensor) -> Tensor:
        """Log density per channel `(n,)` of features `(n, d)`, differentiable."""
        means, scales = self.means.to(x), self.scales.to(x)
        square = ((x[:, None] - means[None]) / scales[None]).square().sum(2)
        constant = scales.log().sum(1) + 0.5 * x.shape[1] * math.log(2 * math.pi)
        parts = self.log_weights.to(x) - constant - square / 2
        return parts.logsumexp(1) / x.shape[1]


@dataclass(frozen=True)
class FeatureLikelihood:
    """Log likelihood of each class: the sum over layers, each per channel whatever its width."""

    mixtures: dict[tuple[int, str], Mixture]
    """By class and layer."""

    def __call__(self, features: Features) -> Tensor:
        """`(n, k)`, differentiable; -inf for classes without a mixture."""
        found = torch.full_like(features.logits, -torch.inf)
        for label in sorted({label for label, _ in self.mixtures}):
            layers = [
                self.mixtures[label, name](values) for name, values in features.layers.items()
            ]
            found = found.index_copy(
                1,
                torch.tensor([label], device=found.device),
                torch.stack(layers).sum(0)[:, None].to(found),
            )
        return found


def fit_feature_likelihood(reference: Reference, seed: int) -> FeatureLikelihood:
    """Fit the mixtures on the clean images that detectors learn from."""
    from sklearn.mixture import GaussianMixture  # a second, so only where it is used

    mixtures = {}
    for name, values in reference.features.layers.items():
        x = values.detach().double().cpu().numpy()
        floor = max(VARIANCE_FLOOR * float(x.var(0).mean()), np.finfo(np.float64).tiny)
        for label in reference.classes():
            own = x[(reference.labels == label).cpu().numpy()]
            gaussians = max(1, min(MAX_COMPONENTS, len(own) // IMAGES_PER_COMPONENT))
            fitted = GaussianMixture(
                gaussians, covariance_type="diag", reg_covar=floor, random_state=seed
            ).fit(own if len(own) > 1 else np.repeat(own, 2, 0))
            mixtures[label, name] = Mixture(
                torch.from_numpy(fitted.weights_).log(),
                torch.from_numpy(fitted.means_),
                torch.from_numpy(fitted.covariances_).sqrt(),
            )
    return FeatureLikelihood(mixtures)
