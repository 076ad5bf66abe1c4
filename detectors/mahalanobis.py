"""Mahalanobis distance to the nearest class, layer by layer (Lee et al. 2018, arXiv 1807.03888)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from detectors._logistic_head import fit_logistic, logistic
from detectors.contract import Detector, Learned, Reference
from detectors.features import Features

STEPS = (0.0, 0.0005, 0.001, 0.002, 0.005, 0.01)
"""Input steps that are tried, in [0, 1] units; Lee et al. try the like."""


@dataclass
class Mahalanobis(Detector):
    """Half the squared distance to the nearest class mean, one covariance for all classes.

    Without pairs the score is the mean over layers of the distance in units of the layer's rank;
    with pairs a logistic head over the layers.
    """

    needs_pairs: ClassVar[bool] = False
    has_head: ClassVar[bool] = True
    differentiable: ClassVar[bool] = True
    step: float | Literal["auto"] = 0.0
    """Move each image by so much a pixel towards its nearest class first (`input_step`), in [0, 1]
    units. `auto`: the best of `STEPS` on a third of the pairs, which the heads tried have not
    seen; 0 without pairs."""

    def __post_init__(self) -> None:
        if self.step != "auto" and not (isinstance(self.step, float | int) and 0 <= self.step <= 1):
            raise ValueError(f"step must be 'auto' or lie between 0 and 1, not {self.step!r}")

    @property
    def extras(self) -> tuple[str, ...]:
        if self.step == "auto":
            return tuple(step_name(step) for step in STEPS[1:])
        return (step_name(self.step),) if self.step else ()

    def learn(self, reference: Reference) -> Learned:
        known = reference.classes()
        learned: dict[str, Tensor] = {}
        for name, values in reference.features.layers.items():
            x = values.detach().double()
            means = torch.stack([x[reference.labels == label].mean(0) for label in known])
            spread = x.clone()
            for label, mean in zip(known, means, strict=True):
                spread[reference.labels == label] -= mean
            whiten = whitening(spread.T @ spread / len(x))
            if not whiten.shape[1]:
                raise ValueError(f"layer {name!r} does not vary within the classes; leave it out")
            learned[f"whiten {name}"], learned[f"means {name}"] = whiten, means @ whiten
        return learned

    def statistics(self, features: Features) -> Tensor:
        """In each layer `(n, layers)`; with `auto` one block of layers after another, by step."""
        if not self.step:
            return self.distances(features)
        moved = [features.extra(name) for name in self.extras]
        return torch.cat([self.distances(features), *moved] if self.step == "auto" else moved, 1)

    def distances(self, features: Features) -> Tensor:
        """Half the squared distance to the nearest class in each layer `(n, layers)`."""
        learned, found = self.known(), []
        for name, x in features.layers.items():
            white = x @ learned[f"whiten {name}"].to(x)
            means = learned[f"means {name}"].to(x)
            found.append((white[:, None] - means[None]).square().sum(2).amin(1) / 2)
        return torch.stack(found, 1)

    def learn_head(self, clean: Tensor, adversarial: Tensor) -> Learned:
        if self.step != "auto":
            return fit_logistic(clean, adversarial)
        count = len(STEPS)
        blocks = list(zip(clean.chunk(count, 1), adversarial.chunk(count, 1), strict=True))
        best = max(range(count), key=lambda place: _validated(*blocks[place]))
        return {**fit_logistic(*blocks[best]), "best": torch.tensor(best)}

    def combine(self, statistics: Tensor) -> Tensor:
        if self.step == "auto":
            best = 0 if self.head is None else int(self.head["best"])
            statistics = statistics.chunk(len(STEPS), 1)[best]
        if self.head is not None:
            return logistic(self.head, statistics)
        ranks = [w.shape[1] for name, w in self.known().items() if name.startswith("whiten ")]
        return (statistics / torch.tensor(ranks).to(statistics)).mean(1)


def step_name(step: float) -> str:
    """Under which the distances of images moved by a step are found in `Features.extras`."""
    return f"mahalanobis {step:g}"


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
    return (x - step * input_direction(detector, extract, x)).clamp(0, 1)


def input_direction(
    detector: Mahalanobis, extract: Callable[[Tensor], Features], x: Tensor
) -> Tensor:
    """The sign of the gradient of the distance in the last layer `(n, c, h, w)`."""
    with torch.enable_grad():
        moving = x.detach().requires_grad_(True)
        distance = detector.distances(extract(moving))[:, -1].sum()
        (gradient,) = torch.autograd.grad(distance, moving)
    return gradient.sign()


def _validated(clean: Tensor, adversarial: Tensor) -> float:
    """AUC on the last third of either side of a head fitted on the rest."""
    cuts = [max(1, len(side) * 2 // 3) for side in (clean, adversarial)]
    head = fit_logistic(clean[: cuts[0]], adversarial[: cuts[1]])
    low, high = logistic(head, clean[cuts[0] :]), logistic(head, adversarial[cuts[1] :])
    above = (high[:, None] > low).double() + (high[:, None] == low) / 2
    return float(above.mean()) if above.numel() else 0.0
