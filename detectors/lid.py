"""Local intrinsic dimensionality (Ma et al. 2018, arXiv 1801.02613; Amsaleg et al. 2015, 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from detectors._distances import squared_distances
from detectors._logistic_head import fit_logistic
from detectors._neighbours import drawn_points, standardised_score
from detectors.contract import FeatureDetector, Learned, Reference
from detectors.features import Features

SMALLEST = 1e-12
"""Distances and sums of logarithms below this count as zero."""


@dataclass(frozen=True)
class LID(FeatureDetector):
    """Local intrinsic dimensionality: how fast clean neighbours become more numerous with distance.

    Statistic of each layer: `-(1/k sum_i log(r_i / r_k))^-1`, where `r_1 <= ... <= r_k` are the
    distances to the k nearest images in one fixed batch of reference images. Score: the mean over
    layers, each standardised by the values of the batch's own images. With a head: the log odds of
    a logistic regression over the layers, as in Ma et al. 2018. The clean twin of an attacked image
    is never among the neighbours. Reads every layer; differentiable.

    Use it where no single layer tells enough and a few hundred reference images are there.
    """

    has_head: ClassVar[bool] = True
    needs_head: ClassVar[bool] = False
    differentiable: ClassVar[bool] = True
    k: int = 20
    """Number of neighbours: at least 2, fewer than `batch`."""
    batch: int = 100
    """Number of reference images that neighbours are searched among."""
    estimator: Literal["mle", "tle"] = "mle"
    """`mle`: maximum likelihood, as in the paper; `tle`: the tight estimator of Amsaleg et al.
    2019."""
    seed: int = 0
    """Of the draw of the batch."""

    def learn(self, reference: Reference) -> Learned:
        """The batch in every layer, and the mean and deviation of its own statistics."""
        reference.classes()
        count = len(reference.labels)
        if not 2 <= self.k < min(self.batch, count):
            raise ValueError(
                f"k = {self.k} neighbours out of a batch of {min(self.batch, count)} images; "
                f"k must be at least 2 and below the batch"
            )
        chosen, points = drawn_points(reference, self.batch, self.seed)
        statistics = self.measure(chosen, points, skip_nearest=True)
        centre, scale = statistics.mean(0), statistics.std(0).clamp_min(SMALLEST)
        return {**points, "centre": centre, "scale": scale}

    def statistics(self, features: Features, learned: Learned) -> Tensor:
        """The LID in each layer `(n, layers)`."""
        return self.measure(features, learned)

    def fit_head(self, clean: Tensor, adversarial: Tensor) -> Learned:
        """A logistic regression over the layers."""
        return fit_logistic(clean, adversarial)

    def combine(self, statistics: Tensor, learned: Learned, head: Learned | None) -> Tensor:
        """The standardised mean over layers, or the log odds of the head."""
        return standardised_score(statistics, learned, head)

    def measure(self, features: Features, learned: Learned, skip_nearest: bool = False) -> Tensor:
        """The LID `(n, layers)` among the points of the batch.

        `skip_nearest` where the images are these points, so that none is its own neighbour.
        """
        per_layer = []
        skipped = int(skip_nearest)
        for name, x in features.layers.items():
            points = learned[f"layer {name}"].to(x)
            nearest, index = squared_distances(x, points).topk(self.k + skipped, largest=False)
            distances = _root(nearest[:, skipped:])
            if self.estimator == "mle":
                per_layer.append(lid_mle(distances))
            else:
                between = _root(squared_distances(points, points))
                near = index[:, skipped:]
                per_layer.append(lid_tle(distances, between[near[:, :, None], near[:, None, :]]))
        return torch.stack(per_layer, 1)


def lid_mle(distances: Tensor) -> Tensor:
    """Maximum likelihood from ascending distances to k neighbours: `(n, k)` to `(n,)`.

    -(1/k sum log(r_i / r_k))^-1. On distances that follow a power law of dimension d its mean is
    k d / (k - 2).
    """
    ratio = distances.clamp_min(SMALLEST) / distances[:, -1:].clamp_min(SMALLEST)
    return 1 / (-ratio.log().mean(1)).clamp_min(SMALLEST)


def lid_tle(distances: Tensor, between: Tensor) -> Tensor:
    """The tight estimator: `(n, k)` and the distances among the neighbours `(n, k, k)` to `(n,)`.

    Every pair of neighbours gives two more measurements, as seen from the one and from its mirror
    image. Those that vanish are left out; 0 where all neighbours are equally far.
    """
    k = distances.shape[1]
    r = distances[:, -1, None, None].clamp_min(SMALLEST)
    u, w = distances[:, :, None], distances[:, None, :]
    v2 = between.square()
    mirrored = 2 * u.square() + 2 * w.square() - v2
    reaches = _pair_distance(u, w, v2, r), _pair_distance(u, w, mirrored, r)
    different = ~torch.eye(k, dtype=torch.bool, device=distances.device)
    usable = different & (v2 > 0) & (reaches[0] >= 1e-6) & (reaches[1] >= 1e-6)
    logs = sum(torch.where(usable, (s.clamp_min(SMALLEST) / r).log(), 0.0) for s in reaches)
    nonzero = distances >= 1e-6
    ratios = torch.where(nonzero, distances.clamp_min(SMALLEST) / r[:, :, 0], 1.0)
    total = logs.sum((1, 2)) + 2 * ratios.log().sum(1)  # type: ignore[union-attr]
    counted = usable.sum((1, 2)) + k - (~nonzero).sum(1)
    flat = logs.sum((1, 2)) > -1e-6  # type: ignore[union-attr]
    return torch.where(flat, 0.0, -2 * counted / total.clamp_max(-SMALLEST))


def _pair_distance(u: Tensor, w: Tensor, v2: Tensor, r: Tensor) -> Tensor:
    """The distance at which a ball that touches the boundary from one neighbour meets another.

    The root of a quadratic, in the one of its two forms that does not cancel.
    """
    a = u.square() + v2 - w.square()
    left = (r.square() - u.square()).clamp_min(0)
    root = (a.square() + 4 * v2 * left).clamp_min(SMALLEST**2).sqrt()
    stable = 2 * r * v2 / (root + a.clamp_min(0)).clamp_min(SMALLEST)
    other = r * (root - a) / (2 * left.clamp_min(SMALLEST))
    return torch.where(a >= 0, stable, other)


def _root(squares: Tensor) -> Tensor:
    """A square root whose gradient is finite at zero."""
    return squares.clamp_min(SMALLEST**2).sqrt()
