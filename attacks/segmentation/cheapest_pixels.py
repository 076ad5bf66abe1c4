"""As many pixels as the budget pays for, the cheapest for their part in Dice first (no paper)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks._tracking import ActiveCases, BestSoFar
from attacks.contract import AttackTraits, Knowledge, Model, require_fit, require_positive
from attacks.dense import counted_pixels, hard_dice, overlapping, pixel_margin
from attacks.losses import climb
from attacks.segmentation.pixels import won_pixels
from attacks.streams import Streams, call_text
from attacks.threat import ThreatModel, above_zero, per_case

BEYOND = 1e-3
"""How far past its boundary a pixel is pushed, in units of the mean margin of the image."""
FIRST_DICE, LAST_DICE = 0.5, 1e-6
"""What the first and the last round assume of the Dice that will be reached. The last one so looks
whether a structure can be lost as a whole, then the background costs next to nothing."""


@dataclass(frozen=True)
class CheapestPixels:
    """Picks the pixels to make wrong before it moves them, and bisects on how many can be paid for.

    Use it in L2, where a budget is shared: other losses push at all pixels, and spend most of it on
    some that never fall. A pixel's price is its squared margin on the image itself, its worth what
    Dice loses with it; the best worth for the price comes first. For each number of pixels, steps
    on their squared hinge loss try to make all of them wrong within eps. What a pixel is worth
    depends on the Dice in the end: each round assumes the one reached so far, the first 0.5 and the
    last 0.
    """

    norms: ClassVar[tuple[str, ...]] = ("L2", "L2-slice")
    minimum_norm: ClassVar[bool] = False
    knowledge: ClassVar[Knowledge] = "gradients"

    rounds: int = 3
    """Looks at what pixels are worth."""
    bisections: int = 10
    """On the number of pixels, in each round."""
    steps: int = 5
    """Gradient steps towards each set of pixels."""

    def __post_init__(self) -> None:
        require_positive(self, "rounds", "bisections", "steps")

    @property
    def stream_key(self) -> str:
        """Name and fields; it draws nothing."""
        return call_text(
            "CheapestPixels", rounds=self.rounds, bisections=self.bisections, steps=self.steps
        )

    @property
    def traits(self) -> AttackTraits:
        """There is no success at which it could stop early."""
        return AttackTraits(steps=self.steps, dense=True, dense_only=True)

    @property
    def passes(self) -> int:
        """Those towards all sets, and one a round at most to see where it stands."""
        return self.rounds * (1 + self.bisections * (self.steps + 1))

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel,
        streams: Streams,
        target: Tensor | None = None,
    ) -> Tensor:
        """The most damaging image of all sets that were tried."""
        require_fit(self, threat, y.ndim > 1)
        batch, best_so_far = ActiveCases.of(x, y, streams, target), BestSoFar(x)
        with torch.no_grad():
            clean = model(x)
        best_so_far.offer(batch, x, clean)
        counted = counted_pixels(y if target is None else target)
        won = won_pixels(clean, y, target)
        lack = _lack(clean, y, target)
        beyond = (
            BEYOND * lack.abs().sum(1, keepdim=True) / counted.sum(1, keepdim=True).clamp_min(1)
        )
        dice = torch.full_like(hard_dice(clean, y), FIRST_DICE)
        for round_ in range(self.rounds):
            if 0 < round_ < self.rounds - 1:
                with torch.no_grad():
                    dice = hard_dice(model(best_so_far.x_adv), y)
            elif round_:
                dice = torch.full_like(dice, LAST_DICE)
            worth = _worth(clean, y, dice) if target is None else torch.ones_like(lack)
            price = torch.where(won, -1.0, lack.square() / above_zero(worth))
            rank = price.masked_fill(~counted, torch.inf).argsort(1).argsort(1)
            start, low, high = x, won.sum(1), counted.sum(1)
            for _ in range(self.bisections):
                number = (low + high + 1) // 2
                chosen = counted & (rank < number[:, None])
                x_adv, paid = self._make_wrong(
                    model, batch, best_so_far, threat, start, chosen, beyond
                )
                start = torch.where(per_case(paid, x), x_adv, start)
                low, high = torch.where(paid, number, low), torch.where(paid, high, number - 1)
                high = torch.maximum(low, high)
        return best_so_far.x_adv

    def _make_wrong(
        self,
        model: Model,
        batch: ActiveCases,
        best_so_far: BestSoFar,
        threat: ThreatModel,
        start: Tensor,
        chosen: Tensor,
        beyond: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Steps until all chosen pixels are won: the last images, and where they are `(n,)`.

        On a linear score the squared hinge is a parabola: each step goes to its lowest point.
        """
        x, y, target = batch.x, batch.y, batch.target
        x_adv, paid = start, torch.zeros(len(x), dtype=torch.bool, device=x.device)

        def loss(logits: Tensor) -> Tensor:
            hinge = (_lack(logits, y, target) + beyond).clamp_min(0)
            return -torch.where(chosen, hinge, 0.0).square().sum(1) / 2

        for step in range(self.steps + 1):
            if step < self.steps:
                logits, gradient = climb(model, x_adv, loss)
            else:
                with torch.no_grad():
                    logits, gradient = model(x_adv), torch.zeros_like(x)
            best_so_far.offer(batch, x_adv, logits)
            paid = (won_pixels(logits, y, target) | ~chosen).all(1)
            direction = threat.steepest(gradient)
            rate = (gradient * direction).flatten(1).sum(1)
            length = (-2 * loss(logits) / above_zero(rate)).clamp_max(2 * threat.eps)
            length = torch.where(paid, 0.0, length)
            x_adv = threat.project(x_adv + per_case(length, x) * direction, x)
        return x_adv, paid


def _lack(logits: Tensor, y: Tensor, target: Tensor | None) -> Tensor:
    """Below 0 where a pixel is won: `(n, pixels)`."""
    return -pixel_margin(logits, y) if target is None else pixel_margin(logits, target)


def _worth(logits: Tensor, y: Tensor, dice: Tensor) -> Tensor:
    """By how much the sum of all Dice falls with each pixel that turns wrong: `(n, pixels)`.

    With P pixels found and T true, Dice D = 2 TP / (P + T) falls by (2 - D) / (P + T) with a pixel
    of the structure that is lost, by D / (P + T) with one of another class that joins it.
    """
    labels = y.flatten(1)
    if overlapping(logits, y):
        found, true = (logits > 0).flatten(2), y.flatten(2)
        size = (found & (true >= 0)).sum(2) + (true == 1).sum(2)
        size = size.clamp_min(1)[:, :, None]
        share = dice[:, :, None]
        return torch.where(true == 1, (2 - share) / size, share / size).flatten(1)
    flat = logits.flatten(2)
    index = labels.clamp_min(0)[:, None]
    found = torch.where(labels >= 0, flat.argmax(1), -1)
    other = flat.scatter(1, index, -torch.inf).argmax(1)
    structures = range(1, flat.shape[1])
    size = torch.stack([(found == c).sum(1) + (labels == c).sum(1) for c in structures], 1)
    lost, joined = (F.pad(part / size.clamp_min(1), (1, 0)) for part in (2 - dice, dice))
    return lost.gather(1, index.squeeze(1)) + joined.gather(1, other)
