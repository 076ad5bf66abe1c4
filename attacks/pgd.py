"""Projected gradient descent, Madry et al. 2018 (arXiv 1706.06083)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import ClassVar, final

import torch
from torch import Tensor

from attacks._starts import random_start
from attacks._tracking import ActiveCases, BestSoFar
from attacks.contract import Attack, Model, require_fit, require_positive
from attacks.losses import OBJECTIVES, Objective, climb
from attacks.streams import Streams
from attacks.threat import ThreatModel


@dataclass(frozen=True)
class PGD:
    """Steps along the steepest direction, each projected back onto the ball and the box.

    Returned is, case by case, the iterate with the largest margin over all steps and restarts, the
    last one included: T steps cost T gradients and T + 1 forward passes. For random starts see
    `random_start`; a travel (steps * step_size) below 2 cannot cross the L-inf ball from there.

    The default takes long steps first, to leave a bad start, and short ones last, to settle. At
    8/255 on 150 chest X-rays it broke 84 or 85 with any of five seeds, constant steps of eps / 10
    from 79 to 81. Ma et al. 2021 take those: `step_size=0.1, schedule="constant"`.
    """

    norms: ClassVar[tuple[str, ...]] = ("Linf", "L2")
    minimum_norm: ClassVar[bool] = False

    steps: int = 20
    step_size: float = 0.2
    """Mean length of a step as a fraction of eps."""
    schedule: str = "linear"
    """`linear`: from about twice the mean down towards zero; or `constant`."""
    restarts: int = 1
    start: str = "random"
    """`random`, or `image`: then the first restart begins at the image, any further at random."""
    objective: str = "cross_entropy"
    """`cross_entropy`, `margin` or `dlr`."""
    keep: str = "best"
    """`best`, or `last`: the last iterate, as the textbook has it."""
    takeover: bool = True
    """Whether the margin stands in where cross-entropy is saturated."""
    stop: bool = field(default=False, repr=False)
    """Leave a case alone once it has surely fallen, and keep the image that felled it, rather than
    look for the most damaging one; the batch shrinks with every case. No field of a plan: cells
    that ask for no more set it, and the random numbers stay those of the attack by its name."""

    def __post_init__(self) -> None:
        require_positive(self, "steps", "step_size", "restarts")
        for name, allowed in {
            "schedule": ("linear", "constant"),
            "start": ("random", "image"),
            "objective": OBJECTIVES,
            "keep": ("best", "last"),
        }.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"PGD: {name} must be {' or '.join(allowed)}, not {getattr(self, name)!r}"
                )

    @property
    def passes(self) -> int:
        last_is_judged = self.keep == "best" or self.restarts > 1
        return self.restarts * (self.steps + last_is_judged)

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
        found = BestSoFar(x)
        batch = ActiveCases.of(x, y, streams, target)
        for restart in range(self.restarts):
            at_image = self.start == "image" and restart == 0
            x_adv = batch.x if at_image else random_start(batch.x, threat, batch.streams)
            for step in range(self.steps):
                objective = Objective(self.objective, batch.y, batch.target, self.takeover)
                logits, gradient = climb(model, x_adv, objective)
                if self.keep == "best" or self.stop:
                    fallen = found.offer(batch, x_adv, logits)
                    if self.stop and bool(fallen.any()):
                        batch = batch.take(~fallen)
                        if not len(batch.rows):
                            return found.best
                        x_adv, gradient = x_adv[~fallen], gradient[~fallen]
                length = self.step_size * threat.eps
                if self.schedule == "linear":
                    length *= 2 * (self.steps - step) / (self.steps + 1)
                x_adv = threat.project(x_adv + length * threat.steepest(gradient), batch.x)
            if self.keep == "last" and self.restarts == 1 and not self.stop:
                return x_adv
            with torch.no_grad():
                fallen = found.offer(batch, x_adv, model(x_adv))
            if self.stop:
                batch = batch.take(~fallen)
                if not len(batch.rows):
                    return found.best
        return found.best


def until_fallen(attack: Attack) -> Attack:
    """The same attack, leaving each case alone once it has fallen, where it has such a form."""
    attack = attack.as_pgd() if isinstance(attack, WrittenAsPGD) else attack
    return replace(attack, stop=True) if hasattr(attack, "stop") else attack  # type: ignore[type-var]


class WrittenAsPGD(ABC):
    """A named attack that is PGD under a certain choice of its fields: say which, no more."""

    norms: ClassVar[tuple[str, ...]] = ("Linf", "L2")
    minimum_norm: ClassVar[bool] = False

    @abstractmethod
    def as_pgd(self) -> PGD:
        """The same attack, written as PGD."""

    def __post_init__(self) -> None:
        self.as_pgd()

    @property
    def passes(self) -> int:
        return self.as_pgd().passes

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
        require_fit(self, threat)
        return self.as_pgd()(model, x, y, threat, streams, target)
