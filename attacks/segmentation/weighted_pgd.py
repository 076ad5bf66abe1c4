"""Base of PGD attacks that weigh the cross-entropy of each pixel anew at every step."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from attacks._starts import random_start
from attacks._tracking import ActiveCases, BestSoFar
from attacks.contract import (
    AttackTraits,
    Knowledge,
    Model,
    require_choice,
    require_fit,
    require_positive,
)
from attacks.dense import mean_of_counted, pixel_cross_entropy
from attacks.losses import climb
from attacks.streams import Streams, call_text
from attacks.threat import ThreatModel


@dataclass(frozen=True)
class WeightedPixelPGD(ABC):
    """PGD on the weighted mean of the pixels' cross-entropy; a subclass chooses the weights.

    Weights are numbers here: no gradient runs through them. Steps shorten from about twice
    `step_size` towards zero. The result is the most damaging iterate of all runs, the last ones
    included.
    """

    norms: ClassVar[tuple[str, ...]] = ("Linf", "L2", "L2-slice")
    minimum_norm: ClassVar[bool] = False
    knowledge: ClassVar[Knowledge] = "gradients"
    stream_name: ClassVar[str]
    """The attack's name in its stream key."""

    steps: int = 20
    """Gradient steps of each run."""
    step_size: float = 0.2
    """Mean length of a step as a fraction of eps."""
    restarts: int = 1
    """Runs; the best image of all is kept."""
    start: str = "random"
    """`random`, or `image`: then the first run begins at the image, any further at random."""

    def __post_init__(self) -> None:
        require_positive(self, "steps", "step_size", "restarts")
        require_choice(self, start=("random", "image"))

    @abstractmethod
    def weights(self, logits: Tensor, y: Tensor, target: Tensor | None, progress: float) -> Tensor:
        """Of each pixel's cross-entropy, 0 or more: `(n, pixels)`.

        `progress` is the share of the run's steps that lie behind, in [0, 1).
        """

    @final
    @property
    def traits(self) -> AttackTraits:
        """As those of PGD; there is no success at which it could stop early."""
        travel = self.steps * self.step_size if self.start == "random" else math.inf
        return AttackTraits(steps=self.steps, travel=travel, dense=True, dense_only=True)

    @final
    @property
    def passes(self) -> int:
        """Each iterate once."""
        return self.restarts * (self.steps + 1)

    @final
    @property
    def stream_key(self) -> str:
        """Name and fields."""
        return call_text(
            self.stream_name,
            steps=self.steps,
            step_size=self.step_size,
            restarts=self.restarts,
            start=self.start,
        )

    @final
    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel,
        streams: Streams,
        target: Tensor | None = None,
    ) -> Tensor:
        """The most damaging iterate of all runs."""
        require_fit(self, threat, y.ndim > 1)
        best_so_far, batch = BestSoFar(x), ActiveCases.of(x, y, streams, target)
        for restart in range(self.restarts):
            at_image = self.start == "image" and restart == 0
            x_adv = x if at_image else random_start(x, threat, streams)
            for step in range(self.steps):
                loss = self._loss(y, target, step / self.steps)
                logits, gradient = climb(model, x_adv, loss)
                best_so_far.offer(batch, x_adv, logits)
                length = 2 * self.step_size * threat.eps * (self.steps - step) / (self.steps + 1)
                x_adv = threat.project(x_adv + length * threat.steepest(gradient), x)
            with torch.no_grad():
                best_so_far.offer(batch, x_adv, model(x_adv))
        return best_so_far.x_adv

    @final
    def _loss(
        self, y: Tensor, target: Tensor | None, progress: float
    ) -> Callable[[Tensor], Tensor]:
        """Of logits to `(n,)`, to be increased."""
        labels = y if target is None else target

        def loss(logits: Tensor) -> Tensor:
            weight = self.weights(logits.detach(), y, target, progress)
            value = mean_of_counted(weight * pixel_cross_entropy(logits, labels), labels)
            return value if target is None else -value

        return loss
