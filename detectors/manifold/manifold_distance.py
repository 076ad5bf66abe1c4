"""Distance to the local hyperplane of clean neighbours (HKNN, Vincent and Bengio 2001, NIPS)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from detectors._distances import squared_distances
from detectors._logistic_head import fit_logistic
from detectors._neighbours import drawn_points, standardised_score
from detectors.contract import FeatureDetector, Learned, Reference
from detectors.features import Features

SMALLEST = 1e-12
"""Squared distances below this count as zero."""
_AT_ONCE = 256


@dataclass(frozen=True)
class ManifoldDistance(FeatureDetector):
    """How far the features lie from the flat piece that the nearest clean features span.

    Statistic of each layer: `min_a sqrt(|z - m - sum_i a_i (z_i - m)|^2 + penalty s |a|^2)`, where
    `z_1 ... z_k` are the nearest of the reference images, m is their mean and s their mean squared
    distance from it. Clean images lie near a curved surface of few dimensions, the manifold
    (Brosch and Tam 2013 learn that of brain scans); the flat piece is its tangent. Score: the mean
    over layers, each standardised by the reference images among themselves. With a head: the log
    odds of a logistic regression over the layers. Reads every layer; differentiable.

    Use it where the classes have no simple shape, so that one covariance for all describes them
    badly, and some hundred reference images are there.
    """

    has_head: ClassVar[bool] = True
    needs_head: ClassVar[bool] = False
    differentiable: ClassVar[bool] = True
    k: int = 20
    """Number of neighbours: at least 2, and fewer than `images`."""
    images: int = 1000
    """Number of reference images that neighbours are searched among."""
    penalty: float = 0.1
    """What a step along the flat piece costs; 0: nothing, so the piece has no end and noise of the
    neighbours widens it. A high one leaves the distance from the neighbours' mean."""
    seed: int = 0
    """Of the draw of the images."""

    def __post_init__(self) -> None:
        if not self.penalty >= 0:
            raise ValueError(f"penalty must not be negative, and is {self.penalty}")

    def learn(self, reference: Reference) -> Learned:
        """The images in every layer, and the mean and deviation of their own statistics."""
        reference.classes()
        count = min(self.images, len(reference.labels))
        if not 2 <= self.k < count:
            raise ValueError(
                f"k = {self.k} neighbours out of {count} images; k must be at least 2 and below "
                f"that number"
            )
        chosen, points = drawn_points(reference, count, self.seed)
        own = self.measure(chosen, points, skip_nearest=True)
        return {**points, "centre": own.mean(0), "scale": own.std(0).clamp_min(SMALLEST)}

    def statistics(self, features: Features, learned: Learned) -> Tensor:
        """The distance in each layer `(n, layers)`."""
        return self.measure(features, learned)

    def fit_head(self, clean: Tensor, adversarial: Tensor) -> Learned:
        """A logistic regression over the layers."""
        return fit_logistic(clean, adversarial)

    def combine(self, statistics: Tensor, learned: Learned, head: Learned | None) -> Tensor:
        """The standardised mean over layers, or the log odds of the head."""
        return standardised_score(statistics, learned, head)

    def measure(self, features: Features, learned: Learned, skip_nearest: bool = False) -> Tensor:
        """The distance `(n, layers)` to the reference images that were drawn.

        `skip_nearest` where the images are these, so that none is its own neighbour.
        """
        skipped, columns = int(skip_nearest), []
        for name, x in features.layers.items():
            points = learned[f"layer {name}"].to(x)
            parts = []
            for part in x.split(_AT_ONCE):  # type: ignore[no-untyped-call]
                near = squared_distances(part, points).topk(self.k + skipped, largest=False)
                parts.append(
                    hyperplane_distance(part, points[near.indices[:, skipped:]], self.penalty)
                )
            columns.append(torch.cat(parts))
        return torch.stack(columns, 1)


def hyperplane_distance(x: Tensor, neighbours: Tensor, penalty: float) -> Tensor:
    """From `x (n, d)` to the plane through `neighbours (n, k, d)`: `(n,)`.

    The penalty is as in `ManifoldDistance`; the plane is through all neighbours where it is 0.
    """
    mean = neighbours.mean(1)
    spread = neighbours - mean[:, None]
    offset = x - mean
    gram = spread @ spread.transpose(1, 2)
    size = gram.diagonal(dim1=1, dim2=2).mean(1).clamp_min(SMALLEST)
    cost = penalty * size
    # The k differences add up to zero and may span less: a trace of the size keeps it soluble.
    trace = torch.finfo(x.dtype).eps * len(gram[0]) * size
    ridge = torch.diag_embed((cost + trace)[:, None].expand(-1, gram.shape[1]))
    along = spread @ offset[:, :, None]
    steps = torch.linalg.solve(gram + ridge, along)
    rest = offset - (steps.transpose(1, 2) @ spread)[:, 0]
    squares = rest.square().sum(1) + cost * steps[:, :, 0].square().sum(1)
    distance: Tensor = squares.clamp_min(SMALLEST).sqrt()
    return distance
