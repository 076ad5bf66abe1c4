"""Mahalanobis distance to the nearest class, layer by layer (Lee et al. 2018, arXiv 1807.03888)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor

from detectors._logistic_head import fit_logistic, logistic
from detectors.contract import Detector, ExtraPasses, Learned, Reference
from detectors.features import Features

STEPS = (0.0, 0.0005, 0.001, 0.002, 0.005, 0.01)
"""Sizes of the input step that `auto` tries, in [0, 1] units, similar to those of Lee et al."""


@dataclass(frozen=True)
class Mahalanobis(Detector):
    """The distance to the nearest class in every layer, under one covariance for all classes.

    Statistic of each layer: `min_c (z - mu_c)^T S^+ (z - mu_c) / 2`, with the class means mu_c and
    the pseudo-inverse S^+ of the covariance within the classes. Score: the mean over layers, each
    divided by the rank of S. With a head: the log odds of a logistic regression over the layers.
    Lee et al. first move each image a small step towards its nearest class (`step`). Reads every
    layer and needs no large reference; differentiable, but not through the input step.

    Use it first of those that read every layer: it is cheap and needs few reference images.
    """

    has_head: ClassVar[bool] = True
    needs_head: ClassVar[bool] = False
    differentiable: ClassVar[bool] = True
    step: float | Literal["auto"] = 0.0
    """Size of the input step in [0, 1] units; 0: none. `auto`: the best of `STEPS` on a third of
    the images of either side, on which the heads compared were not fitted; 0 without a head."""

    def __post_init__(self) -> None:
        if self.step != "auto" and not (isinstance(self.step, float | int) and 0 <= self.step <= 1):
            raise ValueError(f"step must be 'auto' or lie between 0 and 1, not {self.step!r}")

    @property
    def steps(self) -> tuple[float, ...]:
        """The input steps whose distances are read, without 0."""
        if self.step == "auto":
            return STEPS[1:]
        return (self.step,) if self.step else ()

    def learn(self, reference: Reference) -> Learned:
        """For each layer the whitening matrix and the whitened class means."""
        classes = reference.classes()
        learned: dict[str, Tensor] = {}
        for name, values in reference.features.layers.items():
            x = values.detach().double()
            means = torch.stack([x[reference.labels == label].mean(0) for label in classes])
            spread = x.clone()
            for label, mean in zip(classes, means, strict=True):
                spread[reference.labels == label] -= mean
            whiten = whitening(spread.T @ spread / len(x))
            if not whiten.shape[1]:
                raise ValueError(f"layer {name!r} does not vary within the classes; leave it out")
            learned[f"whiten {name}"], learned[f"means {name}"] = whiten, means @ whiten
        return learned

    def extras(self, passes: ExtraPasses, learned: Learned) -> Mapping[str, Tensor]:
        """The distances after each input step `(n, layers)`."""

        def towards_class() -> Tensor:
            return input_direction(learned, passes.extract, passes.x)

        def after(step: float) -> Tensor:
            direction = passes.once("direction of the mahalanobis step", towards_class)
            return distances(passes.extract((passes.x - step * direction).clamp(0, 1)), learned)

        return {
            step_name(step): passes.once(step_name(step), partial(after, step))
            for step in self.steps
        }

    def statistics(self, features: Features, learned: Learned) -> Tensor:
        """The distance in each layer `(n, layers)`; with `auto` such a block for each step."""
        if not self.step:
            return distances(features, learned)
        moved = [features.extra(step_name(step)) for step in self.steps]
        return torch.cat(
            [distances(features, learned), *moved] if self.step == "auto" else moved, 1
        )

    def fit_head(self, clean: Tensor, adversarial: Tensor) -> Learned:
        """A logistic regression over the layers; with `auto` also the best step."""
        if self.step != "auto":
            return fit_logistic(clean, adversarial)
        count = len(STEPS)
        blocks = list(zip(clean.chunk(count, 1), adversarial.chunk(count, 1), strict=True))
        best = max(range(count), key=lambda place: _held_out_auc(*blocks[place]))
        return {**fit_logistic(*blocks[best]), "best": torch.tensor(best)}

    def combine(self, statistics: Tensor, learned: Learned, head: Learned | None) -> Tensor:
        """The mean over layers in units of the rank, or the log odds of the head."""
        if self.step == "auto":
            best = 0 if head is None else int(head["best"])
            statistics = statistics.chunk(len(STEPS), 1)[best]
        if head is not None:
            return logistic(head, statistics)
        ranks = [w.shape[1] for name, w in learned.items() if name.startswith("whiten ")]
        return (statistics / torch.tensor(ranks).to(statistics)).mean(1)


def distances(features: Features, learned: Learned) -> Tensor:
    """Half the squared Mahalanobis distance to the nearest class in each layer `(n, layers)`."""
    result = []
    for name, x in features.layers.items():
        white = x @ learned[f"whiten {name}"].to(x)
        means = learned[f"means {name}"].to(x)
        result.append((white[:, None] - means[None]).square().sum(2).amin(1) / 2)
    return torch.stack(result, 1)


def step_name(step: float) -> str:
    """The name in `Features.extras` of the distances after an input step of this size."""
    return f"mahalanobis {step:g}"


def whitening(covariance: Tensor) -> Tensor:
    """`W (d, rank)` so that `W W^T` is the pseudo-inverse of a covariance `(d, d)`.

    Directions in which the reference does not vary are left out, as scikit-learn leaves them out:
    a distance along them would be infinite.
    """
    values, vectors = torch.linalg.eigh(covariance)
    floor = values.amax() * len(values) * torch.finfo(values.dtype).eps
    kept = values > floor
    result: Tensor = vectors[:, kept] / values[kept].sqrt()
    return result


def input_direction(learned: Learned, extract: Callable[[Tensor], Features], x: Tensor) -> Tensor:
    """The sign of the gradient of the distance in the last layer `(n, c, h, w)`.

    A step against it brings an image nearer to its class, a clean image more than an attacked one
    (Lee et al.).
    """
    with torch.enable_grad():
        moving = x.detach().requires_grad_(True)
        distance = distances(extract(moving), learned)[:, -1].sum()
        (gradient,) = torch.autograd.grad(distance, moving)
    return gradient.sign()


def _held_out_auc(clean: Tensor, adversarial: Tensor) -> float:
    """AUC on the last third of either side, of a head fitted on the rest."""
    cuts = [max(1, len(side) * 2 // 3) for side in (clean, adversarial)]
    head = fit_logistic(clean[: cuts[0]], adversarial[: cuts[1]])
    low, high = logistic(head, clean[cuts[0] :]), logistic(head, adversarial[cuts[1] :])
    above = (high[:, None] > low).double() + (high[:, None] == low) / 2
    return float(above.mean()) if above.numel() else 0.0
