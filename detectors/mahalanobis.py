"""Mahalanobis distance to the nearest class, layer by layer (Lee et al. 2018, arXiv 1807.03888)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from detectors.base import Detector, Pairs, Reference
from detectors.features import Features
from detectors.heads import LogisticHead


@dataclass
class Mahalanobis(Detector):
    """Half the squared distance to the nearest class mean, one covariance for all classes.

    Without pairs the score is the mean over layers of the distance in units of the layer's rank;
    with pairs a logistic head over the layers.
    """

    needs_pairs: ClassVar[bool] = False
    differentiable: ClassVar[bool] = True

    def fit(self, reference: Reference, pairs: Pairs | None = None) -> None:
        known = reference.classes()
        self._layers: dict[str, tuple[Tensor, Tensor, int]] = {}
        for name, values in reference.features.layers.items():
            x = values.detach().double()
            means = torch.stack([x[reference.labels == label].mean(0) for label in known])
            spread = x.clone()
            for label, mean in zip(known, means, strict=True):
                spread[reference.labels == label] -= mean
            whiten = whitening(spread.T @ spread / len(x))
            if not whiten.shape[1]:
                raise ValueError(f"layer {name!r} does not vary within the classes; leave it out")
            self._layers[name] = means @ whiten, whiten, whiten.shape[1]
        self._head = None
        if pairs is not None:
            sides = (self.statistics(side) for side in (pairs.clean, pairs.adversarial))
            self._head = LogisticHead.fit(*sides)

    def score(self, features: Features) -> Tensor:
        found = self.statistics(features)
        if self._head is not None:
            return self._head(found)
        ranks = torch.tensor([rank for *_, rank in self._layers.values()]).to(found)
        return (found / ranks).mean(1)

    def statistics(self, features: Features) -> Tensor:
        """Half the squared distance to the nearest class in each layer `(n, layers)`."""
        if not hasattr(self, "_layers"):
            raise RuntimeError("fit the detector first")
        found = []
        for name, (means, whiten, _) in self._layers.items():
            x = features.layers[name]
            white = x @ whiten.to(x)
            squares = (white[:, None] - means.to(x)[None]).square().sum(2)
            found.append(squares.amin(1) / 2)
        return torch.stack(found, 1)


def whitening(covariance: Tensor) -> Tensor:
    """`(d, rank)`, whose product with its transpose is the covariance's pseudo-inverse.

    Directions in which the reference does not vary are left out, as scikit-learn leaves them out:
    a distance along them would be infinite.
    """
    values, vectors = torch.linalg.eigh(covariance)
    floor = values.amax() * len(values) * torch.finfo(values.dtype).eps
    kept = values > floor
    found: Tensor = vectors[:, kept] / values[kept].sqrt()
    return found


def input_step(
    detector: Mahalanobis, extract: Callable[[Tensor], Features], x: Tensor, step: float
) -> Tensor:
    """`x` moved by `step` (in [0, 1] units) a pixel towards its nearest class in the last layer.

    Lee et al. move clean images nearer than attacked ones; `step` is to be chosen on images that
    are scored nowhere else. The result stays within [0, 1].
    """
    with torch.enable_grad():
        moving = x.detach().requires_grad_(True)
        distance = detector.statistics(extract(moving))[:, -1].sum()
        (gradient,) = torch.autograd.grad(distance, moving)
    return (x - step * gradient.sign()).clamp(0, 1).detach()
