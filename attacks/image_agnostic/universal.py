"""Universal perturbation for every image: Moosavi-Dezfooli et al. 2017 (arXiv 1610.08401).

Found as in Shafahi et al. 2020 (arXiv 1811.11304): ascent on the mean of a bounded loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks.contract import Model, require_positive
from attacks.image_agnostic._fitting import MOMENTUM, clean_margin, random_batches
from attacks.losses import margin
from attacks.threat import ThreatModel, above_zero


@dataclass(frozen=True)
class UniversalPerturbation:
    """One perturbation, fitted on some images and added to others.

    It is no `Attack`, which sees each image alone.
    """

    norms: ClassVar[tuple[str, ...]] = ("Linf", "L2")

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

        `generator` lives on the CPU. `apply_perturbation` adds it. ValueError for an infinite eps.
        """
        if threat.eps == float("inf"):
            raise ValueError("UniversalPerturbation needs a finite eps")
        start = torch.randn(x[:1].shape, generator=generator).to(x)
        delta = 0.1 * threat.eps * threat.steepest(start)
        velocity, best, best_share = torch.zeros_like(delta), delta, -1.0
        every = max(1, self.steps // 10)
        cap = clean_margin(model, x, y, target, self.batch)
        batches = random_batches(len(x), self.batch, generator)
        for step in range(self.steps):
            rows = next(batches).to(x.device)
            batch_target = None if target is None else target[rows]
            with torch.enable_grad():
                delta = delta.detach().requires_grad_()
                value = margin(
                    model(apply_perturbation(x[rows], delta, threat)), y[rows], batch_target
                )
                (gradient,) = torch.autograd.grad(value.clamp_max(cap).mean(), delta)
            velocity = MOMENTUM * velocity + gradient / above_zero(gradient.abs().mean())
            move = 2 * self.step_size * threat.eps * (self.steps - step) / (self.steps + 1)
            delta = _in_ball(delta.detach() + move * threat.steepest(velocity), threat)
            if (step + 1) % every == 0 or step + 1 == self.steps:
                share = self._share(model, x, y, delta, threat, target)
                if share >= best_share:
                    best, best_share = delta, share
        return best

    @torch.no_grad()
    def _share(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        delta: Tensor,
        threat: ThreatModel,
        target: Tensor | None,
    ) -> float:
        """Share of the images on which it fools the model."""
        fooled = 0.0
        for rows in torch.split(torch.arange(len(x), device=x.device), self.batch):
            batch_target = None if target is None else target[rows]
            value = margin(model(apply_perturbation(x[rows], delta, threat)), y[rows], batch_target)
            fooled += float((value > 0).sum())
        return fooled / len(x)


def apply_perturbation(x: Tensor, delta: Tensor, threat: ThreatModel) -> Tensor:
    """The images `(n, c, h, w)` with one perturbation `(1, c, h, w)` added, inside ball and box."""
    return threat.project(x + delta, x)


def _in_ball(delta: Tensor, threat: ThreatModel) -> Tensor:
    if threat.norm == "Linf":
        return delta.clamp(-threat.eps, threat.eps)
    length = torch.linalg.vector_norm(delta)
    inside: Tensor = delta * (threat.eps / length.clamp_min(threat.eps))
    return inside
