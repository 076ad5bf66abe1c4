"""Universal perturbation for every image: Moosavi-Dezfooli et al. 2017 (arXiv 1610.08401).

Found as in Shafahi et al. 2020 (arXiv 1811.11304): ascent on the mean of a bounded loss.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks.contract import Model, require_positive
from attacks.image_agnostic._fitting import MOMENTUM, bounded_margin, clean_margin, random_batches
from attacks.losses import margin
from attacks.threat import ThreatModel, above_zero, per_case


@dataclass(frozen=True)
class UniversalPerturbation:
    """One perturbation, fitted on some images and added to others.

    It is no `Attack`, which sees each image alone. With dense logits it climbs the mean of the
    pixels' margins, and the perturbation with the lowest mean Dice is kept.
    """

    norms: ClassVar[tuple[str, ...]] = ("Linf", "L2", "L2-slice")

    steps: int = 200
    """Gradient steps."""
    step_size: float = 0.1
    """Mean length of a step as a fraction of eps; steps shorten towards zero."""
    batch: int = 32
    """Images per step."""

    def __post_init__(self) -> None:
        require_positive(self, "steps", "step_size", "batch")

    def fit(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel,
        generator: torch.Generator,
        target: Tensor | None = None,
    ) -> Tensor:
        """The perturbation `(1, c, h, w)`, of size eps at most, in the units of `x (n, c, h, w)`.

        The images, or volumes, are of one size. `y` and `target` are as in `Attack`.
        `generator` lives on the CPU. `apply_perturbation` adds it. ValueError for an infinite eps.
        """
        if threat.eps == float("inf"):
            raise ValueError("UniversalPerturbation needs a finite eps")
        start = torch.randn(x[:1].shape, generator=generator).to(x)
        delta = 0.1 * threat.eps * threat.steepest(start)
        velocity, best, best_score = torch.zeros_like(delta), delta, -math.inf
        every = max(1, self.steps // 10)
        cap = clean_margin(model, x, y, target, self.batch)
        batches = random_batches(len(x), self.batch, generator)
        for step in range(self.steps):
            rows = next(batches).to(x.device)
            batch_target = None if target is None else target[rows]
            with torch.enable_grad():
                delta = delta.detach().requires_grad_()
                logits = model(apply_perturbation(x[rows], delta, threat))
                value = bounded_margin(logits, y[rows], batch_target, cap)
                (gradient,) = torch.autograd.grad(value.mean(), delta)
            velocity = MOMENTUM * velocity + gradient / above_zero(gradient.abs().mean())
            move = 2 * self.step_size * threat.eps * (self.steps - step) / (self.steps + 1)
            delta = _in_ball(delta.detach() + move * threat.steepest(velocity), threat)
            if (step + 1) % every == 0 or step + 1 == self.steps:
                score = self._score(model, x, y, delta, threat, target)
                if score >= best_score:
                    best, best_score = delta, score
        return best

    @torch.no_grad()
    def _score(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        delta: Tensor,
        threat: ThreatModel,
        target: Tensor | None,
    ) -> float:
        """Share of the images on which it fools the model; with dense logits their mean margin."""
        total = 0.0
        for rows in torch.split(torch.arange(len(x), device=x.device), self.batch):
            batch_target = None if target is None else target[rows]
            value = margin(model(apply_perturbation(x[rows], delta, threat)), y[rows], batch_target)
            total += float(value.sum() if y.ndim > 1 else (value > 0).sum())
        return total / len(x)


def apply_perturbation(x: Tensor, delta: Tensor, threat: ThreatModel) -> Tensor:
    """The images `(n, c, h, w)` with one perturbation `(1, c, h, w)` added, inside ball and box."""
    return threat.project(x + delta, x)


def _in_ball(delta: Tensor, threat: ThreatModel) -> Tensor:
    if threat.norm == "Linf":
        return delta.clamp(-threat.eps, threat.eps)
    length = threat.distance(delta, torch.zeros_like(delta))
    return delta * per_case(threat.eps / length.clamp_min(threat.eps), delta)
