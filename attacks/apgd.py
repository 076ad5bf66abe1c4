"""Auto-PGD (APGD): Croce and Hein 2020 (arXiv 2003.01690)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field, replace
from typing import ClassVar

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
from attacks.losses import LOSSES, AttackLoss, climb, likeliest_wrong
from attacks.streams import Streams, call_text
from attacks.threat import ThreatModel, per_case

MOMENTUM = 0.75
"""Weight of the new step; the rest is that of the step before."""
RISING_SHARE = 0.75
"""Share of the steps in a period that must raise the loss for the step size to stay (rho)."""


@dataclass(frozen=True)
class APGD:
    """PGD with momentum and without a step size to tune.

    Steps begin at 2 eps and are halved, case by case, where the loss no longer rises; the case then
    goes on from its best image. Use it where steps have not been tuned, and as part of AutoAttack.

    With `targets`, one run towards each of that many likeliest wrong labels (k - 1 at most)
    replaces the `restarts`; called with a target, all runs aim at that.
    """

    norms: ClassVar[tuple[str, ...]] = ("Linf", "L2")
    minimum_norm: ClassVar[bool] = False
    knowledge: ClassVar[Knowledge] = "gradients"

    steps: int = 100
    """Gradient steps of each run."""
    restarts: int = 1
    """Runs; the best image of all is kept."""
    loss: str = "cross_entropy"
    """`cross_entropy`, `margin` or `dlr`."""
    targets: int = 0
    """Targeted runs, towards the likeliest wrong labels; 0: untargeted runs."""
    start: str = "random"
    """`random`, or `image`: then the first run begins at the image, any further at random."""
    stop: bool = field(default=False, repr=False)
    """As in PGD: leave a case alone once it has fallen beyond rounding."""

    def __post_init__(self) -> None:
        require_positive(self, "steps", "restarts")
        if self.targets < 0:
            raise ValueError(f"APGD: targets must be 0 or more, not {self.targets}")
        require_choice(self, loss=LOSSES, start=("random", "image"))

    @property
    def passes(self) -> int:
        """With targets, one pass ranks the labels."""
        return bool(self.targets) + max(self.restarts, self.targets) * (self.steps + 1)

    @property
    def stream_key(self) -> str:
        """As the first release wrote it; `stop` is no part of it."""
        return call_text(
            "APGD",
            steps=self.steps,
            restarts=self.restarts,
            objective=self.loss,
            targets=self.targets,
            start=self.start,
        )

    @property
    def traits(self) -> AttackTraits:
        """With two classes the gradients of all losses are parallel."""
        return AttackTraits(
            steps=self.steps,
            until_fallen=replace(self, stop=True),
            equals_on_two_classes=replace(self, loss="margin"),
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
        """The iterate with the largest margin over all runs."""
        require_fit(self, threat)
        found, batch = BestSoFar(x), ActiveCases.of(x, y, streams, target)
        run_targets: list[Tensor | None] = [target] * self.restarts
        if self.targets and target is None:
            run_targets = list(likeliest_wrong(model, x, y)[:, : self.targets].T)
        for run, run_target in enumerate(run_targets):
            at_image = self.start == "image" and run == 0
            x_adv = batch.x if at_image else random_start(batch.x, threat, batch.streams)
            batch = self.run_from(x_adv, model, batch, found, threat, run_target)
            if not len(batch.rows):
                break
        return found.best

    def run_from(
        self,
        x_adv: Tensor,
        model: Model,
        batch: ActiveCases,
        found: BestSoFar,
        threat: ThreatModel,
        run_target: Tensor | None,
    ) -> ActiveCases:
        """One run from `x_adv`, towards `run_target` (a label for each case of `found`, or None).

        What it finds goes to `found`; returns the cases that are still active after it.
        """
        check = period = max(int(0.22 * self.steps), 1)
        walk: _Walk | None = None
        for step in range(self.steps):
            label = None if run_target is None else run_target[batch.rows]
            loss = AttackLoss(self.loss, batch.y, label)
            logits, gradient = climb(model, x_adv, loss)
            value = loss(logits)
            if walk is None:
                walk = _Walk.begin(x_adv, gradient, value, 2 * threat.eps)
            else:
                walk = walk.arrived(x_adv, gradient, value)
            fallen = found.offer(batch, x_adv, logits)
            if self.stop and bool(fallen.any()):
                batch, walk = batch.take(~fallen), walk.take(~fallen)
                if not len(batch.rows):
                    return batch
            if step == check:
                walk = walk.checked(period)
                shorter = period - max(int(0.03 * self.steps), 1)
                period = max(shorter, int(0.06 * self.steps), 1)
                check += period
            walk = walk.moved(batch.x, threat)
            x_adv = walk.x
        with torch.no_grad():
            fallen = found.offer(batch, x_adv, model(x_adv))
        return batch.take(~fallen) if self.stop else batch


@dataclass(frozen=True)
class _Walk:
    """State of a run: where each case is, where it was best, and how long its steps are."""

    x: Tensor
    before: Tensor
    gradient: Tensor
    value: Tensor
    best: Tensor
    best_gradient: Tensor
    best_value: Tensor
    length: Tensor
    """`(n,)`, in units of the image."""
    rises: Tensor
    """Steps since the last check that raised the loss."""
    best_at_check: Tensor
    halved_at_check: Tensor

    @classmethod
    def begin(cls, x: Tensor, gradient: Tensor, value: Tensor, length: float) -> _Walk:
        rises = torch.zeros_like(value)
        return cls(
            *(x, x, gradient, value, x, gradient, value),
            *(torch.full_like(value, length), rises, value, torch.ones_like(value).bool()),
        )

    def take(self, kept: Tensor) -> _Walk:
        return _Walk(*(getattr(self, field.name)[kept] for field in dataclasses.fields(self)))

    def arrived(self, x: Tensor, gradient: Tensor, value: Tensor) -> _Walk:
        """The state with what was found where the last step led."""
        better = value > self.best_value
        return dataclasses.replace(
            self,
            gradient=gradient,
            value=value,
            best=torch.where(per_case(better, x), x, self.best),
            best_gradient=torch.where(per_case(better, x), gradient, self.best_gradient),
            best_value=torch.where(better, value, self.best_value),
            rises=self.rises + (value > self.value),
        )

    def checked(self, period: int) -> _Walk:
        """Halve the steps where the loss rose too seldom, or not at all since the last check."""
        stuck = ~self.halved_at_check & (self.best_value <= self.best_at_check)
        halved = (self.rises <= RISING_SHARE * period) | stuck
        back = per_case(halved, self.x)
        x = torch.where(back, self.best, self.x)
        return dataclasses.replace(
            self,
            x=x,
            before=torch.where(back, x, self.before),
            gradient=torch.where(back, self.best_gradient, self.gradient),
            value=torch.where(halved, self.best_value, self.value),
            length=torch.where(halved, self.length / 2, self.length),
            rises=torch.zeros_like(self.rises),
            best_at_check=self.best_value,
            halved_at_check=halved,
        )

    def moved(self, image: Tensor, threat: ThreatModel) -> _Walk:
        """One step along the gradient, with momentum."""
        step = per_case(self.length, self.x) * threat.steepest(self.gradient)
        straight = threat.project(self.x + step, image)
        bent = self.x + MOMENTUM * (straight - self.x) + (1 - MOMENTUM) * (self.x - self.before)
        # Without a step before, there is nothing to remember: the whole step is taken.
        still = (self.x == self.before).flatten(1).all(1)
        after = torch.where(per_case(still, bent), straight, threat.project(bent, image))
        return dataclasses.replace(self, x=after, before=self.x)
