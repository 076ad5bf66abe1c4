"""Fast minimum-norm attack, Pintor et al. 2021 (arXiv 2102.12827): a ball that breathes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks._geometry import slide
from attacks._tracking import Nearest
from attacks.contract import Model, require_fit, require_positive
from attacks.losses import Objective, climb, margin
from attacks.streams import Streams
from attacks.threat import ThreatModel, above_zero, per_case

WIDTH = (0.05, 0.001)
"""By which share the ball shrinks or grows, at the first step and at the last."""
LENGTH = (1.0, 0.01)
"""Of a step in units of the ball's radius, at the first step and at the last."""


@dataclass(frozen=True)
class FMN:
    """Gradient steps inside a ball that shrinks after a success and grows after a failure.

    The paper's steps have a length in units of the image; here it follows the ball, so that one
    setting suits 0.3/255 in L-inf and a distance of 3 in L2. Both fall by a cosine. The last
    `line_steps` passes slide the best image towards the original.
    """

    norms: ClassVar[tuple[str, ...]] = ("Linf", "L2")
    minimum_norm: ClassVar[bool] = True

    steps: int = 200
    line_steps: int = 10

    def __post_init__(self) -> None:
        require_positive(self, "steps")
        if self.line_steps < 0:
            raise ValueError("FMN: line_steps must be 0 or more")

    @property
    def passes(self) -> int:
        return self.steps + 1 + self.line_steps

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel,
        streams: Streams,
        target: Tensor | None = None,
    ) -> Tensor:
        require_fit(self, threat)
        found = Nearest(x)
        run_fmn(model, x, y, target, threat, found, x, self.steps)
        return slide(x, found.best, lambda z: margin(model(z), y, target) > 0, self.line_steps)


def run_fmn(
    model: Model,
    x: Tensor,
    y: Tensor,
    target: Tensor | None,
    threat: ThreatModel,
    found: Nearest,
    x_adv: Tensor,
    steps: int,
) -> None:
    """One run from `x_adv`, in a ball that reaches as far; what it finds goes to `found`."""
    radius = threat.distance(x_adv, x)
    for step in range(steps):
        logits, gradient = climb(model, x_adv, Objective("margin", y, target))
        value, distance = margin(logits, y, target).to(x), threat.distance(x_adv, x)
        found.offer(x_adv, distance, value)
        share = _cosine(WIDTH, step / steps)
        to_boundary = -value / _dual(gradient, threat)
        # Until there is one, at least as far as the boundary looks from here, and a bit beyond.
        needed = torch.where(found.distance.isfinite(), 0.0, distance + to_boundary)
        grown = torch.maximum(radius, needed) * (1 + share)
        shrunk = torch.minimum(radius * (1 - share), found.distance)
        radius = torch.where(value > 0, shrunk, grown).clamp(0, x[0].numel() ** 0.5)
        length = _cosine(LENGTH, step / steps) * radius
        x_adv = x_adv + per_case(length, x) * threat.steepest(gradient)
        x_adv = _into(x_adv, x, radius, threat)
    with torch.no_grad():
        value = margin(model(x_adv), y, target).to(x)
    found.offer(x_adv, threat.distance(x_adv, x), value)


def _cosine(ends: tuple[float, float], done: float) -> float:
    first, last = ends
    return last + (first - last) * (1 + math.cos(math.pi * done)) / 2


def _dual(gradient: Tensor, threat: ThreatModel) -> Tensor:
    """How much a step of length 1 can gain, `(n,)`; not zero."""
    flat = gradient.flatten(1)
    length = flat.abs().sum(1) if threat.norm == "Linf" else flat.norm(dim=1)
    return length.clamp_min(torch.finfo(flat.dtype).eps)


def _into(x_adv: Tensor, x: Tensor, radius: Tensor, threat: ThreatModel) -> Tensor:
    """Into the ball of each case's own radius, then into the box."""
    delta, limit = x_adv - x, per_case(radius, x)
    if threat.norm == "Linf":
        delta = delta.clamp(-limit, limit)
    else:
        length = per_case(delta.flatten(1).norm(dim=1), x)
        delta = delta * (limit / above_zero(length)).clamp_max(1)
    return (x + delta).clamp(0, 1)
