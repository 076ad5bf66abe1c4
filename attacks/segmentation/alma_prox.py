"""ALMA-prox, a minimum-norm L-inf attack on pixels: Rony et al. 2023 (arXiv 2206.07179)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks._tracking import Nearest
from attacks.contract import AttackTraits, Knowledge, Model, require_fit, require_positive
from attacks.dense import counted_pixels, pixel_margin
from attacks.losses import climb
from attacks.segmentation.pixels import won_pixels
from attacks.streams import Streams, call_text
from attacks.threat import ThreatModel, above_zero, per_case

STEP = (0.03, 0.0003)
"""Length of a gradient step, first and last, in units of the image."""
FIRST_MULTIPLIER, SMALLEST_MULTIPLIER, LARGEST_MULTIPLIER = 0.1, 1e-8, 10.0
"""Of a pixel (mu)."""
FIRST_PENALTY, PENALTY_GROWTH = 10.0, 1.2
"""Of a pixel (rho), and what it is multiplied with where the violation falls too slowly."""
CHECK, PROGRESS = 5, 0.95
"""Every so many steps not more than this share of a violation may be left."""
MEMORY = 0.8
"""Weight of the past in the running means of multipliers and squared gradients."""
LEVEL_STEPS = 30
"""Halvings that find the level of the proximity operator."""
BALL_STEPS = 5
"""Gradient steps in each ball of the bisection."""


@dataclass(frozen=True)
class ALMAProx:
    """The nearest image of which a given share of the pixels is wrong, or agrees with a target.

    Use it on segmenters for the smallest eps. Each pixel is a constraint with a multiplier and a
    penalty of its own (augmented Lagrangian); the L-inf norm itself is handled by its proximity
    operator. Constraints that need not hold, since `share` is below 1, are dropped step by step,
    the hardest first. A bisection over smaller balls follows, with a few steps in each. With share
    1 and a target without the structure it finds the smallest eps at which the structure vanishes.
    """

    norms: ClassVar[tuple[str, ...]] = ("Linf",)
    minimum_norm: ClassVar[bool] = True
    knowledge: ClassVar[Knowledge] = "gradients"

    steps: int = 300
    """Gradient steps before the bisection."""
    share: float = 0.99
    """Share of the pixels that count that has to be won, in (0, 1]."""
    bisections: int = 10
    """Balls of the bisection; 5 gradient steps each."""

    def __post_init__(self) -> None:
        require_positive(self, "steps", "share")
        if self.share > 1 or self.bisections < 0:
            raise ValueError("ALMAProx: share must be 1 at most, bisections 0 or more")

    @property
    def stream_key(self) -> str:
        """Name and fields."""
        return call_text("ALMAProx", steps=self.steps, share=self.share, bisections=self.bisections)

    @property
    def traits(self) -> AttackTraits:
        """Steps alone."""
        return AttackTraits(steps=self.steps, dense=True, dense_only=True)

    @property
    def passes(self) -> int:
        """Those of the search and of the bisection."""
        return 1 + self.steps + self.bisections * BALL_STEPS

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel,
        streams: Streams,
        target: Tensor | None = None,
    ) -> Tensor:
        """The nearest image that wins the share; where there is none, the one that wins most."""
        require_fit(self, threat, y.ndim > 1)
        goal, nearest = _Goal(y, target, self.share), Nearest(x)
        _search(model, x, goal, threat, nearest, self.steps)
        _bisect(model, x, goal, threat, nearest, self.bisections)
        return nearest.x_adv


@dataclass(frozen=True)
class _Goal:
    """Which pixels have to be won, and what each of them lacks."""

    y: Tensor
    target: Tensor | None
    share: float

    @property
    def counted(self) -> Tensor:
        """`(n, pixels)` bool."""
        return counted_pixels(self.y if self.target is None else self.target)

    def lack(self, logits: Tensor) -> Tensor:
        """Below 0 where a pixel is won, `(n, pixels)`; 0 where it does not count."""
        if self.target is None:
            return -pixel_margin(logits, self.y)
        return pixel_margin(logits, self.target)

    def value(self, logits: Tensor) -> Tensor:
        """1 where the share is won, else minus the share that is missing: `(n,)`."""
        missing = self._wanted(self.share) - won_pixels(logits, self.y, self.target).sum(1)
        counted = self.counted.sum(1).clamp_min(1)
        return torch.where(missing > 0, -missing / counted, 1.0)

    def easiest(self, lack: Tensor, share: float) -> Tensor:
        """That share of the pixels that count, those with the least lack: `(n, pixels)` bool."""
        counted = self.counted
        order = lack.masked_fill(~counted, torch.inf).sort(1).values
        limit = order.gather(1, self._wanted(share).clamp_min(1)[:, None] - 1)
        return counted & (lack <= limit)

    def _wanted(self, share: float) -> Tensor:
        """So many pixels are that share: `(n,)`."""
        return (share * self.counted.sum(1).double() - 1e-6).ceil().long()


def _search(
    model: Model, x: Tensor, goal: _Goal, threat: ThreatModel, nearest: Nearest, steps: int
) -> None:
    """Proximal gradient steps on norm and augmented Lagrangian; `nearest` takes the images.

    What pixels lack is measured in units of its mean size at the image itself. The share of the
    pixels that have to be won falls from all to the goal's over the first half of the steps.
    """
    with torch.no_grad():
        lack = goal.lack(model(x))
    unit = above_zero(lack.abs().sum(1) / goal.counted.sum(1).clamp_min(1))[:, None]
    multiplier = torch.full_like(lack, FIRST_MULTIPLIER)
    penalty = torch.full_like(lack, FIRST_PENALTY)
    before = lack / unit
    x_adv, squares = x, torch.zeros_like(x)
    for step in range(steps):
        share = 1 - (1 - goal.share) * min(2 * step / steps, 1)

        def loss(
            logits: Tensor,
            share: float = share,
            multiplier: Tensor = multiplier,
            penalty: Tensor = penalty,
        ) -> Tensor:
            lack = goal.lack(logits) / unit
            wanted = goal.easiest(lack.detach(), share)
            return torch.where(wanted, _penalised(lack, penalty, multiplier), 0.0).sum(1)

        logits, gradient = climb(model, x_adv, loss)
        nearest.offer(x_adv, threat.distance(x_adv, x), goal.value(logits))
        lack = goal.lack(logits) / unit
        if step and step % CHECK == 0:
            slow = (lack > 0) & (lack > PROGRESS * before)
            penalty = torch.where(slow, PENALTY_GROWTH * penalty, penalty)
            before = lack
        multiplier = MEMORY * multiplier + (1 - MEMORY) * _slope(lack, penalty, multiplier)
        multiplier = multiplier.clamp(SMALLEST_MULTIPLIER, LARGEST_MULTIPLIER)
        squares = MEMORY * squares + (1 - MEMORY) * gradient.square()
        metric = above_zero((squares / (1 - MEMORY ** (step + 1))).sqrt())
        length = STEP[0] * (STEP[1] / STEP[0]) ** (step / steps)
        moved = x_adv - x - length * gradient / metric
        x_adv = threat.project(x + _proximity(moved, metric / length, x), x)


def _penalised(lack: Tensor, penalty: Tensor, multiplier: Tensor) -> Tensor:
    """The penalty-Lagrangian of a constraint `lack < 0`: cubic above 0, bounded below."""
    above = multiplier * lack * (1 + penalty * lack) + (penalty * lack).square() * lack / 6
    below = multiplier * lack / (1 - penalty * lack.clamp_max(0))
    return torch.where(lack > 0, above, below)


def _slope(lack: Tensor, penalty: Tensor, multiplier: Tensor) -> Tensor:
    """Its derivative by `lack`, the next estimate of the multiplier."""
    above = multiplier * (1 + 2 * penalty * lack) + (penalty * lack).square() / 2
    below = multiplier / (1 - penalty * lack.clamp_max(0)).square()
    return torch.where(lack > 0, above, below)


def _proximity(moved: Tensor, metric: Tensor, x: Tensor) -> Tensor:
    """The step d inside the box that minimises max |d| + sum(metric * (d - moved)^2) / 2.

    It is `moved`, clipped at a level and at the box. The level is where what one more unit of it
    would save is 1; that falls with the level, so it is found by bisection.
    """
    size, weight = moved.flatten(1).abs(), metric.flatten(1)
    room = torch.where(moved > 0, 1 - x, x).flatten(1)
    low, high = torch.zeros_like(size[:, :1]), size.amax(1, keepdim=True)
    for _ in range(LEVEL_STEPS):
        level = (low + high) / 2
        saved = torch.where(room > level, weight * (size - level).clamp_min(0), 0.0)
        too_low = saved.sum(1, keepdim=True) > 1
        low, high = torch.where(too_low, level, low), torch.where(too_low, high, level)
    limit = per_case(high.squeeze(1), x)
    return moved.clamp(-limit, limit).clamp(-x, 1 - x)


def _bisect(
    model: Model, x: Tensor, goal: _Goal, threat: ThreatModel, nearest: Nearest, balls: int
) -> None:
    """Sign steps in smaller and smaller balls, each from the best image so far.

    A ball in which the share is won is the next one's upper bound, any other its lower. The first
    step in a ball pushes all pixels that are not won, the last only as many as are needed. Where
    the search has found nothing, the ball is the whole box.
    """
    low = torch.zeros_like(nearest.distance)
    for _ in range(balls):
        before = nearest.distance.clone()
        radius = torch.where(before.isfinite(), (low + before) / 2, 1.0)
        limit = per_case(radius, x)
        x_adv = nearest.x_adv.clamp(x - limit, x + limit)
        for step in range(BALL_STEPS):
            share = 1 - (1 - goal.share) * step / (BALL_STEPS - 1)

            def loss(logits: Tensor, share: float = share) -> Tensor:
                lack = goal.lack(logits)
                pushed = goal.easiest(lack.detach(), share)
                return -torch.where(pushed, lack.clamp_min(0), 0.0).sum(1)

            logits, gradient = climb(model, x_adv, loss)
            nearest.offer(x_adv, threat.distance(x_adv, x), goal.value(logits))
            length = 2 * limit * (BALL_STEPS - step) / BALL_STEPS
            moved = (x_adv + length * gradient.sign()).clamp(x - limit, x + limit)
            x_adv = threat.project(moved, x)
        low = torch.where(nearest.distance < before, low, radius)
