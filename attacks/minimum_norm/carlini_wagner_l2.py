"""Minimum-norm L2 attack by Adam: Carlini and Wagner 2017 (arXiv 1608.04644)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks.contract import AttackTraits, Knowledge, Model, require_fit, require_positive
from attacks.losses import climb_and_value, margin
from attacks.minimum_norm.geometry import line_search
from attacks.streams import Streams, call_text
from attacks.threat import ThreatModel, per_case


@dataclass(frozen=True)
class CarliniWagnerL2:
    """Minimises ||d||^2 + c max(kappa - margin, 0) with Adam, and bisects c, case by case.

    Use it for the nearest image in L2 where time allows; FMN and FAB are faster. Four departures
    from the paper, each for a reason met in medical images:

    - The paper's tanh variable has no gradient at 0 and 1 and freezes such pixels (collimator,
      the dark surround of a fundus). Here Adam moves the pixels, and each step is clamped.
    - Adam's second moment is one number per image. One per pixel turns every pixel's step towards
      the same length; where the box binds, a hundred steps then end 2 to 5 % too far.
    - c begins at half of what a linear model would need, to reach the boundary from within, and
      the step follows the distance: first margin / |gradient|, then the best found. The paper's
      constants suit 32 x 32 photographs. Within a bisection step it falls to zero (cosine).
    - The last `line_steps` passes bisect the line from the best image to the original.
    """

    norms: ClassVar[tuple[str, ...]] = ("L2",)
    minimum_norm: ClassVar[bool] = True
    knowledge: ClassVar[Knowledge] = "gradients"

    steps: int = 100
    """Adam steps within each bisection step."""
    binary_steps: int = 9
    """Bisection steps of c."""
    step_size: float = 0.1
    """Largest step of Adam, root mean square over the pixels, in [0, 1] units of the image."""
    confidence: float = 0.0
    """kappa: an image counts as adversarial where its margin is above it."""
    line_steps: int = 10
    """Bisections on the line to the original: ten leave a thousandth of the distance."""

    def __post_init__(self) -> None:
        require_positive(self, "steps", "binary_steps", "step_size")
        if self.confidence < 0 or self.line_steps < 0:
            raise ValueError("CarliniWagnerL2: confidence and line_steps must be 0 or more")

    @property
    def stream_key(self) -> str:
        """As the first release wrote it."""
        return call_text(
            "CarliniWagnerL2",
            steps=self.steps,
            binary_steps=self.binary_steps,
            step_size=self.step_size,
            confidence=self.confidence,
            line_steps=self.line_steps,
        )

    @property
    def traits(self) -> AttackTraits:
        """Steps alone."""
        return AttackTraits(steps=self.steps)

    @property
    def passes(self) -> int:
        """Those of all bisection steps and of the line search."""
        return 1 + self.binary_steps * self.steps + self.line_steps

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel,
        streams: Streams,
        target: Tensor | None = None,
    ) -> Tensor:
        """The nearest image whose margin is above the confidence."""
        require_fit(self, threat, y.ndim > 1)

        def excess(logits: Tensor) -> Tensor:
            return margin(logits, y, target).to(x) - self.confidence

        _, gradient, value = climb_and_value(model, x, excess)
        slope = gradient.flatten(1).norm(dim=1).clamp_min(1e-12)
        linear = (-value).clamp_min(0) / slope
        const = (linear / slope).clamp(1e-8, 1e8)
        low, high = torch.zeros_like(const), torch.full_like(const, math.inf)

        success = value > 0
        best = x.clone()
        distance = torch.where(success, 0.0, math.inf)
        for bisection in range(self.binary_steps):
            guess = torch.where(distance.isfinite(), distance, linear * 4**bisection)
            rate = (0.5 * guess / x[0].numel() ** 0.5).clamp(1e-7, self.step_size)
            delta = torch.zeros_like(x)
            first, second = torch.zeros_like(x), torch.zeros_like(const)
            hit = torch.zeros_like(success)
            for step in range(self.steps):
                _, gradient, value = climb_and_value(model, x + delta, excess)
                above = value > 0
                length = delta.flatten(1).norm(dim=1)
                nearer = above & (length < distance)
                best = torch.where(per_case(nearer, x), x + delta, best)
                distance = torch.where(nearer, length, distance)
                hit |= above

                pull = 2 * delta - per_case(torch.where(above, 0.0, const), x) * gradient
                first = 0.9 * first + 0.1 * pull
                second = 0.999 * second + 0.001 * pull.flatten(1).square().mean(1)
                mean = first / (1 - 0.9 ** (step + 1))
                spread = (second / (1 - 0.999 ** (step + 1))).sqrt() + 1e-12
                cosine = 0.5 * (1 + math.cos(math.pi * step / self.steps))
                move = per_case(rate * cosine / spread, x) * mean
                delta = (x + delta - move).clamp(0, 1) - x
            high = torch.where(hit, torch.minimum(high, const), high)
            low = torch.where(hit, low, torch.maximum(low, const))
            const = torch.where(high.isfinite(), (low + high) / 2, const * 10)
        return line_search(x, best, lambda z: excess(model(z)) > 0, self.line_steps)
