"""Projected gradient descent (PGD): Madry et al. 2018 (arXiv 1706.06083)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
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
from attacks.losses import CLASS_LOSSES, DENSE_LOSSES, LOSSES, AttackLoss, climb
from attacks.streams import Streams, call_text
from attacks.threat import ThreatModel


@dataclass(frozen=True)
class PGD:
    """Steps along the steepest direction, each projected back onto the ball and the box.

    Use it as the first real test of a model, with several restarts. The result is, case by case,
    the iterate with the largest margin over all steps and restarts, the last one included: T steps
    cost T gradients and T + 1 forward passes. A travel (steps * step_size) below 2 cannot cross the
    L-inf ball from a random start.

    The default takes long steps first, to leave a bad start, and short ones last, to settle. At
    8/255 on 150 chest X-rays it broke 84 or 85 with any of five seeds, constant steps of eps / 10
    from 79 to 81. Ma et al. 2021 take those: `step_size=0.1, schedule="constant"`.
    """

    norms: ClassVar[tuple[str, ...]] = ("Linf", "L2", "L2-slice")
    minimum_norm: ClassVar[bool] = False
    knowledge: ClassVar[Knowledge] = "gradients"

    steps: int = 20
    """Gradient steps of each run."""
    step_size: float = 0.2
    """Mean length of a step as a fraction of eps."""
    schedule: str = "linear"
    """`linear`: from about twice the mean down towards zero; or `constant`."""
    restarts: int = 1
    """Runs; the best image of all is kept."""
    start: str = "random"
    """`random`, or `image`: then the first run begins at the image, any further at random."""
    loss: str = "cross_entropy"
    """`cross_entropy`, `margin`, `dlr` or `probability_margin`; on dense logits `cross_entropy`,
    `margin` (the mean over the pixels), `dice`, `cross_entropy_dice` (their sum), or one of SEA:
    `jensen_shannon`, `masked_cross_entropy`, `masked_spherical`."""
    keep: str = "best"
    """`best`, or `last`: the last iterate, as the textbook has it."""
    margin_fallback: bool = True
    """Whether the margin replaces cross-entropy where that is saturated."""
    stop: bool = field(default=False, repr=False)
    """End each case at its first success beyond rounding and keep that image, rather than look for
    the most damaging one; the batch shrinks with every case. No field of a plan: see
    `AttackTraits.early_stopping`."""

    def __post_init__(self) -> None:
        require_positive(self, "steps", "step_size", "restarts")
        require_choice(
            self,
            schedule=("linear", "constant"),
            start=("random", "image"),
            loss=LOSSES,
            keep=("best", "last"),
        )

    @property
    def passes(self) -> int:
        """The last iterate costs a pass where it is compared with others."""
        last_is_compared = self.keep == "best" or self.restarts > 1
        return self.restarts * (self.steps + last_is_compared)

    @property
    def stream_key(self) -> str:
        """As the first release wrote it; `stop` is no part of it."""
        return call_text(
            "PGD",
            steps=self.steps,
            step_size=self.step_size,
            schedule=self.schedule,
            restarts=self.restarts,
            start=self.start,
            objective=self.loss,
            keep=self.keep,
            takeover=self.margin_fallback,
        )

    @property
    def traits(self) -> AttackTraits:
        """With two classes the gradients of all losses are parallel, saturation apart."""
        parallel = self.margin_fallback and self.loss in CLASS_LOSSES
        return AttackTraits(
            steps=self.steps,
            travel=self.steps * self.step_size if self.start == "random" else math.inf,
            early_stopping=replace(self, stop=True),
            equals_on_two_classes=replace(self, loss="margin") if parallel else None,
            keeps_still=True,
            dense=self.loss in DENSE_LOSSES,
            dense_only=self.loss not in CLASS_LOSSES,
        )

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel,
        streams: Streams,
        target: Tensor | None = None,
    ) -> Tensor:
        """The iterate with the largest margin, or the last one."""
        require_fit(self, threat, y.ndim > 1)
        best_so_far = BestSoFar(x)
        batch = ActiveCases.of(x, y, streams, target)
        for restart in range(self.restarts):
            at_image = self.start == "image" and restart == 0
            x_adv = batch.x if at_image else random_start(batch.x, threat, batch.streams)
            for step in range(self.steps):
                loss = AttackLoss(self.loss, batch.y, batch.target, self.margin_fallback)
                logits, gradient = climb(model, x_adv, loss)
                if self.keep == "best" or self.stop:
                    success = best_so_far.offer(batch, x_adv, logits)
                    if self.stop and bool(success.any()):
                        batch = batch.take(~success)
                        if not len(batch.rows):
                            return best_so_far.x_adv
                        x_adv, gradient = x_adv[~success], gradient[~success]
                length = self.step_size * threat.eps
                if self.schedule == "linear":
                    length *= 2 * (self.steps - step) / (self.steps + 1)
                x_adv = threat.project(x_adv + length * threat.steepest(gradient), batch.x)
            if self.keep == "last" and self.restarts == 1 and not self.stop:
                return x_adv
            with torch.no_grad():
                success = best_so_far.offer(batch, x_adv, model(x_adv))
            if self.stop:
                batch = batch.take(~success)
                if not len(batch.rows):
                    return best_so_far.x_adv
        return best_so_far.x_adv


class NamedPGD(ABC):
    """An attack that is PGD with certain fields. A subclass defines these and its stream key."""

    norms: ClassVar[tuple[str, ...]]
    minimum_norm: ClassVar[bool] = False
    knowledge: ClassVar[Knowledge] = "gradients"

    @abstractmethod
    def as_pgd(self) -> PGD:
        """The same attack, written as PGD."""

    @property
    @abstractmethod
    def stream_key(self) -> str:
        """See `Attack.stream_key`."""

    def __post_init__(self) -> None:
        self.as_pgd()

    @final
    @property
    def passes(self) -> int:
        """Those of PGD."""
        return self.as_pgd().passes

    @final
    @property
    def traits(self) -> AttackTraits:
        """Those of PGD, which it equals."""
        pgd = self.as_pgd()
        return replace(pgd.traits, equals=pgd)

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
        """What PGD returns with these fields."""
        require_fit(self, threat, y.ndim > 1)
        return self.as_pgd()(model, x, y, threat, streams, target)
