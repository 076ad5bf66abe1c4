"""Sigma-zero, the fewest changed pixels (L0): Cinà et al. 2024 (arXiv 2402.01879)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks._tracking import Nearest
from attacks.contract import AttackTraits, Knowledge, Model, require_fit, require_positive
from attacks.losses import MAX_TARGETS, AttackLoss, climb, likeliest_wrong, margin
from attacks.streams import Streams, call_text
from attacks.threat import ThreatModel, keep_pixels, per_case, pixel_sums

SIGMA = 1e-3
"""A pixel that moved by the squared length s counts as s / (s + sigma) changed pixels."""
STEP = (1.0, 0.1)
"""Step size of Adam, first and last, in units of the image."""
BETAS = (0.9, 0.999)
"""Decay of Adam's means."""
THRESHOLD, THRESHOLD_STEP = 0.3, 0.01
"""A pixel whose channels moved by less goes back: at first, and its change in units of a step."""


@dataclass(frozen=True)
class SigmaZero:
    """Adam on the margin plus a smooth count of changed pixels; small changes go back to zero.

    Use it for the number of pixels that an attacker must change. The threshold below which a pixel
    goes back rises after a success and falls after a failure. Here a pixel counts once with all its
    channels. Two things are not of the paper: at first, the pixels that gain most by the gradient
    at the image go to the end of the box, as few as needed, which no attack can beat on a linear
    model; in the end, pixels that the best image can do without go back.
    """

    norms: ClassVar[tuple[str, ...]] = ("L0",)
    minimum_norm: ClassVar[bool] = True
    knowledge: ClassVar[Knowledge] = "gradients"

    steps: int = 300
    """Gradient steps of Adam; the paper takes 1000."""
    rounds: int = 4
    """Rounds of pruning in the end, each with one gradient and a bisection."""

    def __post_init__(self) -> None:
        require_positive(self, "steps")
        if self.rounds < 0:
            raise ValueError(f"SigmaZero: rounds must be 0 or more, not {self.rounds}")

    @property
    def passes(self) -> int:
        """Those of the run, and of bisections over the pixels: for each label, and of pruning."""
        bisections = MAX_TARGETS + 2 * self.rounds
        return self.steps + 1 + 1 + bisections * (1 + MOST_BISECTIONS)

    @property
    def stream_key(self) -> str:
        """Steps and rounds."""
        return call_text("SigmaZero", steps=self.steps, rounds=self.rounds)

    @property
    def traits(self) -> AttackTraits:
        """Bisections take as many passes as the image has pixels, in powers of two."""
        return AttackTraits(steps=self.steps)

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel,
        streams: Streams,
        target: Tensor | None = None,
    ) -> Tensor:
        """The adversarial image with the fewest changed pixels."""
        require_fit(self, threat, y.ndim > 1)
        nearest = Nearest(x)
        search = _Search(model, x, y, target, threat, nearest)
        for label in search.labels():
            search.greedily(label)
        search.adam(self.steps)
        for _ in range(self.rounds):
            search.prune()
        return nearest.x_adv


MOST_BISECTIONS = 24
"""Halvings at most: enough for volumes of 16 million voxels."""


@dataclass(frozen=True)
class _Search:
    """One batch; `nearest` takes every image that was shown to the model."""

    model: Model
    x: Tensor
    y: Tensor
    target: Tensor | None
    threat: ThreatModel
    nearest: Nearest

    def labels(self) -> Iterator[Tensor]:
        """The target, or the likeliest wrong labels one after the other: `(n,)` each."""
        if self.target is not None:
            return iter([self.target])
        return iter(likeliest_wrong(self.model, self.x, self.y)[:, :MAX_TARGETS].T)

    def show(self, x_adv: Tensor) -> Tensor:
        """Where an image reaches the goal, `(n,)`."""
        with torch.no_grad():
            value = margin(self.model(x_adv), self.y, self.target).to(self.x)
        self.nearest.offer(x_adv, self.threat.distance(x_adv, self.x), value)
        return value > 0

    def greedily(self, label: Tensor) -> None:
        """Move as few pixels as needed to the end of the box, by their gain towards a label."""
        _, gradient = climb(self.model, self.x, AttackLoss("margin", self.y, label))
        ends = torch.where(gradient > 0, 1.0, torch.where(gradient < 0, 0.0, self.x))
        gain = pixel_sums((ends - self.x) * gradient)
        self.fewest(ends, gain, (gain > 0).sum(1))

    def prune(self) -> None:
        """From the best image: as it is, and with its pixels at the end of the box, without some.

        Those go back first whose return costs the margin least by the gradient at that image.
        """
        best = self.nearest.x_adv.clone()
        with torch.no_grad():
            reached = self.model(best).scatter(1, self.y[:, None], -torch.inf).argmax(1)
        label = reached if self.target is None else self.target
        _, gradient = climb(self.model, best, AttackLoss("margin", self.y, label))
        changed = pixel_sums((best != self.x).to(self.x)) > 0
        ends = torch.where(gradient > 0, 1.0, torch.where(gradient < 0, 0.0, best))
        ends = self.x + keep_pixels(ends - self.x, changed)
        for image in (best, ends):
            worth = pixel_sums((image - self.x) * gradient)
            self.fewest(image, worth.masked_fill(~changed, -torch.inf), changed.sum(1))

    def fewest(self, image: Tensor, worth: Tensor, most: Tensor) -> None:
        """Bisect for the fewest pixels of an image, those of most worth, that reach the goal.

        `worth` is `(n, pixels)`, `most (n,)` how many there are.
        """
        ranks = worth.sort(dim=1, descending=True, stable=True).indices.argsort(dim=1)
        enough, few = most.clone(), torch.zeros_like(most)
        for _ in range(min(max(worth.shape[1], 1).bit_length(), MOST_BISECTIONS)):
            middle = torch.div(enough + few, 2, rounding_mode="floor")
            part = self.x + keep_pixels(image - self.x, ranks < middle[:, None])
            success = self.show(torch.where(image == part, image, part))
            enough = torch.where(success, middle, enough)
            few = torch.where(success, few, middle)
        self.show(self.x + keep_pixels(image - self.x, ranks < enough[:, None]))

    def adam(self, steps: int) -> None:
        """The run of the paper."""
        x, delta = self.x, torch.zeros_like(self.x)
        mean, square = torch.zeros_like(x), torch.zeros_like(x)
        threshold = x.new_full((len(x),), THRESHOLD)
        for step in range(steps):
            x_adv = x + delta
            logits, gradient = climb(self.model, x_adv, _Loss(self.y, self.target))
            value = margin(logits, self.y, self.target).to(x)
            self.nearest.offer(x_adv, self.threat.distance(x_adv, x), value)
            gradient = gradient + _count_gradient(delta)
            largest_entry = gradient.flatten(1).abs().amax(1).clamp_min(1e-12)
            gradient = gradient / per_case(largest_entry, x)
            mean = BETAS[0] * mean + (1 - BETAS[0]) * gradient
            square = BETAS[1] * square + (1 - BETAS[1]) * gradient.square()
            length = STEP[1] + (STEP[0] - STEP[1]) * (1 + math.cos(math.pi * step / steps)) / 2
            way = mean / (1 - BETAS[0] ** (step + 1))
            scale = (square / (1 - BETAS[1] ** (step + 1))).sqrt() + 1e-8
            delta = (x + delta - length * way / scale).clamp(0, 1) - x
            change = THRESHOLD_STEP * length
            threshold = (threshold + torch.where(value > 0, change, -change)).clamp(0, 1)
            moved = delta.flatten(2).abs().amax(1) >= threshold[:, None]
            delta = keep_pixels(delta, moved)
        self.show(x + delta)


@dataclass(frozen=True)
class _Loss:
    """How far the attacker is behind `(n,)`, zero after success; to be made small."""

    y: Tensor
    target: Tensor | None

    def __call__(self, logits: Tensor) -> Tensor:
        return (-margin(logits, self.y, self.target)).clamp_min(0)


def _count_gradient(delta: Tensor) -> Tensor:
    """Gradient of the smooth share of changed pixels, s / (s + sigma), in each value."""
    s = delta.square().sum(1, keepdim=True)
    return 2 * delta * SIGMA / (s + SIGMA).square() / delta[0, 0].numel()
