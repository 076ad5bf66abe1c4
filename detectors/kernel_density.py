"""Kernel density of the deep feature by predicted class (Feinman et al. 2017, arXiv 1703.00410)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from detectors._distances import squared_distances
from detectors._logistic_head import fit_logistic, logistic
from detectors.contract import FeatureDetector, Learned, Reference
from detectors.features import Features

GRID = 2.0 ** torch.arange(-4, 3, 0.5, dtype=torch.float64)
"""Bandwidths tried, in units of the median distance to the nearest image of the same class."""


@dataclass(frozen=True)
class KernelDensity(FeatureDetector):
    """How far an image lies from the reference images of its predicted class, in the deep feature.

    Score: `-log p(z)`, where z is the deep feature (the input of the last layer) and p the Gaussian
    kernel density of the reference images whose label is the class that the classifier predicts:
    `p(z) = mean_i N(z; z_i, h^2 I)`. With a head: the log odds of a logistic regression on
    `log p(z)`, as in Feinman et al. Made for attacks that leave the data of the predicted class;
    needs enough reference images of each class. Differentiable.

    Use it where every class has some hundred reference images and attacks leave the data of
    the predicted class.
    """

    has_head: ClassVar[bool] = True
    needs_head: ClassVar[bool] = False
    differentiable: ClassVar[bool] = True
    bandwidth: float | None = None
    """h, in units of the feature. None: the one under which held-out reference images are likeliest
    (`choose_bandwidth`). Ma et al. 2021 take 1.0."""

    def learn(self, reference: Reference) -> Learned:
        """The deep features of each class, and the bandwidth."""
        deep = reference.features.deep.detach()
        points = {f"class {c}": deep[reference.labels == c] for c in reference.classes()}
        used = choose_bandwidth(reference) if self.bandwidth is None else self.bandwidth
        return {**points, "bandwidth": torch.tensor(used, dtype=torch.float64)}

    def statistics(self, features: Features, learned: Learned) -> Tensor:
        """The log density `(n, 1)` in nats; a class without reference images has density 0."""
        bandwidth = float(learned["bandwidth"])
        deep, predicted = features.deep, features.logits.argmax(1)
        density = torch.full_like(deep[:, 0], -torch.inf)
        for label in range(features.logits.shape[1]):
            in_class = predicted == label
            if f"class {label}" in learned and bool(in_class.any()):
                points = learned[f"class {label}"].to(deep)
                density = density.masked_scatter(
                    in_class, _log_density(deep[in_class], points, bandwidth)
                )
        return density[:, None]

    def fit_head(self, clean: Tensor, adversarial: Tensor) -> Learned:
        """A logistic regression."""
        return fit_logistic(clean, adversarial)

    def combine(self, statistics: Tensor, learned: Learned, head: Learned | None) -> Tensor:
        """Minus the log density, or the log odds of the head."""
        return -statistics[:, 0] if head is None else logistic(head, statistics)


def _log_density(x: Tensor, points: Tensor, bandwidth: float) -> Tensor:
    squares = squared_distances(x, points)
    norm = points.shape[1] * math.log(bandwidth * math.sqrt(2 * math.pi)) + math.log(len(points))
    return (-squares / (2 * bandwidth**2)).logsumexp(1) - norm


def choose_bandwidth(reference: Reference) -> float:
    """The bandwidth under which each reference image is likeliest given those of other groups."""
    deep = reference.features.deep.detach().double()
    groups = torch.arange(len(deep)) if reference.groups is None else reference.groups
    groups = groups.to(deep.device)
    likelihood = deep.new_zeros(len(GRID))
    squares, nearest = [], []
    for label in reference.classes():
        in_class = reference.labels == label
        distances = squared_distances(deep[in_class], deep[in_class])
        same_group = groups[in_class][:, None] == groups[in_class][None]
        distances = distances.masked_fill(same_group, torch.inf)
        usable = torch.isfinite(distances).any(1)
        squares.append(distances[usable])
        nearest.append(distances[usable].amin(1).sqrt())
    unit = float(torch.cat(nearest).median()) if sum(map(len, nearest)) else 0.0
    if unit == 0:
        raise ValueError("most reference images coincide; name a bandwidth")
    d = deep.shape[1]
    for i, step in enumerate(GRID):
        h = float(step) * unit
        for block in squares:
            others = torch.isfinite(block).sum(1).log()
            likelihood[i] += ((-block / (2 * h * h)).logsumexp(1) - others - d * math.log(h)).sum()
    return float(GRID[int(likelihood.argmax())]) * unit
