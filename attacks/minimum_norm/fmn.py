"""Fast minimum-norm attack (FMN), adaptive radius: Pintor et al. 2021 (arXiv 2102.12827)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks._tracking import ActiveCases, Nearest
from attacks.contract import AttackTraits, Knowledge, Model, require_fit, require_positive
from attacks.losses import AttackLoss, climb_and_value, margin
from attacks.minimum_norm.geometry import line_search
from attacks.streams import Streams, call_text
from attacks.threat import ThreatModel, above_zero, per_case

GAMMA = (0.05, 0.001)
"""Relative change of the radius per step, first and last (the paper's gamma)."""
ALPHA = (1.0, 0.01)
"""Step size in units of the radius, first and last (the paper's alpha, in units of the image)."""


@dataclass(frozen=True)
class FMN:
    """Gradient steps inside a ball whose radius shrinks after a success and grows after a failure.

    Use it for the nearest adversarial image at a fixed cost. The paper's step size is in units of
    the image; here it follows the radius, so that one setting suits 0.3/255 in L-inf and a distance
    of 3 in L2. Step size and change of the radius fall by a cosine. The last `line_steps` passes
    bisect the line from the best image to the original.
    """

    norms: ClassVar[tuple[str, ...]] = ("Linf", "L2")
    minimum_norm: ClassVar[bool] = True
    knowledge: ClassVar[Knowledge] = "gradients"

    steps: int = 200
    """Gradient steps."""
    line_steps: int = 10
    """Bisections on the line from the best image to the original."""

    def __post_init__(self) -> None:
        require_positive(self, "steps")
        if self.line_steps < 0:
            raise ValueError("FMN: line_steps must be 0 or more")

    @property
    def passes(self) -> int:
        """Those of the run and of the line search."""
        return self.steps + 1 + self.line_steps

    @property
    def stream_key(self) -> str:
        """As the first release wrote it."""
        return call_text("FMN", steps=self.steps, line_steps=self.line_steps)

    @property
    def traits(self) -> AttackTraits:
        """Steps alone."""
        return AttackTraits(steps=self.steps, keeps_still=True)

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel,
        streams: Streams,
        target: Tensor | None = None,
    ) -> Tensor:
        """The nearest adversarial iterate, after the line search."""
        require_fit(self, threat, y.ndim > 1)
        nearest = Nearest(x)
        run_fmn(model, ActiveCases.of(x, y, streams, target), threat, nearest, x, self.steps)
        return line_search(
            x, nearest.x_adv, lambda z: margin(model(z), y, target) > 0, self.line_steps
        )


def run_fmn(
    model: Model,
    cases: ActiveCases,
    threat: ThreatModel,
    nearest: Nearest,
    x_adv: Tensor,
    steps: int,
) -> None:
    """One run from `x_adv`, with its distance as first radius; `nearest` takes its images."""
    x, y, target = cases.x, cases.y, cases.target
    radius = threat.distance(x_adv, x)
    for step in range(steps):
        _, gradient, value = climb_and_value(model, x_adv, AttackLoss("margin", y, target))
        value, distance = value.to(x), threat.distance(x_adv, x)
        nearest.offer(x_adv, distance, value)
        gamma = _cosine(GAMMA, step / steps)
        to_boundary = -value / _dual_norm(gradient, threat)
        # Until an adversarial image is found: the estimated distance to the boundary at least.
        needed = torch.where(nearest.distance.isfinite(), 0.0, distance + to_boundary)
        grown = torch.maximum(radius, needed) * (1 + gamma)
        shrunk = torch.minimum(radius * (1 - gamma), nearest.distance)
        radius = torch.where(value > 0, shrunk, grown).clamp(0, x[0].numel() ** 0.5)
        length = _cosine(ALPHA, step / steps) * radius
        x_adv = x_adv + per_case(length, x) * threat.steepest(gradient)
        x_adv = _project(x_adv, x, radius, threat)
    with torch.no_grad():
        value = margin(model(x_adv), y, target).to(x)
    nearest.offer(x_adv, threat.distance(x_adv, x), value)


def _cosine(ends: tuple[float, float], progress: float) -> float:
    first, last = ends
    return last + (first - last) * (1 + math.cos(math.pi * progress)) / 2


def _dual_norm(gradient: Tensor, threat: ThreatModel) -> Tensor:
    """Dual norm of the gradient: what a step of length 1 can gain, `(n,)`; not zero."""
    flat = gradient.flatten(1)
    length = flat.abs().sum(1) if threat.norm == "Linf" else flat.norm(dim=1)
    return length.clamp_min(torch.finfo(flat.dtype).eps)


def _project(x_adv: Tensor, x: Tensor, radius: Tensor, threat: ThreatModel) -> Tensor:
    """Projection onto the ball of each case's radius, then onto the box."""
    delta, limit = x_adv - x, per_case(radius, x)
    if threat.norm == "Linf":
        delta = delta.clamp(-limit, limit)
    else:
        length = per_case(delta.flatten(1).norm(dim=1), x)
        delta = delta * (limit / above_zero(length)).clamp_max(1)
    return (x + delta).clamp(0, 1)
