"""Auto-PGD (APGD): Croce and Hein 2020 (arXiv 2003.01690)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from attacks._prospects import Prospects
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
from attacks.losses import (
    CLASS_LOSSES,
    DENSE_LOSSES,
    LOSSES,
    AttackLoss,
    climb_and_value,
    likeliest_wrong,
    margin,
)
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

    norms: ClassVar[tuple[str, ...]] = ("Linf", "L2", "L2-slice")
    minimum_norm: ClassVar[bool] = False
    knowledge: ClassVar[Knowledge] = "gradients"

    steps: int = 100
    """Gradient steps of each run."""
    restarts: int = 1
    """Runs; the best image of all is kept."""
    loss: str = "cross_entropy"
    """`cross_entropy`, `margin`, `dlr` or `probability_margin`; on dense logits `cross_entropy`,
    `margin`, `dice` and others, as in PGD."""
    targets: int = 0
    """Targeted runs, towards the likeliest wrong labels; 0: untargeted runs. They need logits
    `(n, k)`."""
    start: str = "random"
    """`random`, or `image`: then the first run begins at the image, any further at random."""
    stop: bool = field(default=False, repr=False)
    """As in PGD: end each case at its first success beyond rounding."""
    give_up: bool = field(default=False, repr=False)
    """With `stop`: end also each run of a case whose margin, as it has risen, would not reach zero
    (`_prospects`). No field of a plan; part of AutoAttack."""

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
        """As the first release wrote it; `stop` and `give_up` are no part of it."""
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
        on_classes = self.loss in CLASS_LOSSES
        return AttackTraits(
            steps=self.steps,
            early_stopping=replace(self, stop=True),
            equals_on_two_classes=replace(self, loss="margin") if on_classes else None,
            keeps_still=True,
            dense=self.loss in DENSE_LOSSES and not self.targets,
            dense_only=not on_classes,
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
        require_fit(self, threat, y.ndim > 1)
        best_so_far, batch = BestSoFar(x), ActiveCases.of(x, y, streams, target)
        run_targets: list[Tensor | None] = [target] * self.restarts
        if self.targets and target is None:
            run_targets = list(likeliest_wrong(model, x, y)[:, : self.targets].T)
        for run, run_target in enumerate(run_targets):
            at_image = self.start == "image" and run == 0
            x_adv = batch.x if at_image else random_start(batch.x, threat, batch.streams)
            batch = self.run_from(x_adv, model, batch, best_so_far, threat, run_target)
            if not len(batch.rows):
                break
        return best_so_far.x_adv

    def run_from(
        self,
        x_adv: Tensor,
        model: Model,
        batch: ActiveCases,
        best_so_far: BestSoFar,
        threat: ThreatModel,
        run_target: Tensor | None,
    ) -> ActiveCases:
        """One run from `x_adv`, towards `run_target` (one label per case, or None).

        `best_so_far` takes its images; returns the cases that are still active after it.
        """
        check = period = max(int(0.22 * self.steps), 1)
        state: _RunState | None = None
        every, fallen = batch, torch.zeros_like(best_so_far.margin, dtype=torch.bool)
        prospects = Prospects(self.steps)
        for step in range(self.steps):
            label = None if run_target is None else run_target[batch.rows]
            loss = AttackLoss(self.loss, batch.y, label)
            logits, gradient, value = climb_and_value(model, x_adv, loss)
            if state is None:
                state = _RunState.initial(x_adv, gradient, value, 2 * threat.eps)
            else:
                state = state.evaluated(x_adv, gradient, value)
            success = best_so_far.offer(batch, x_adv, logits)
            if self.stop:
                fallen[batch.rows] = gone = success
                if self.give_up:
                    goal = batch.target if label is None else label
                    gone = gone | prospects.offer(step + 1, margin(logits, batch.y, goal))
                if bool(gone.any()):
                    batch, state = batch.take(~gone), state.take(~gone)
                    prospects.take(~gone)
                    if not len(batch.rows):
                        return every.take(~fallen[every.rows])
            if step == check:
                state = state.at_checkpoint(period)
                shorter = period - max(int(0.03 * self.steps), 1)
                period = max(shorter, int(0.06 * self.steps), 1)
                check += period
            state = state.stepped(batch.x, threat)
            x_adv = state.x
        with torch.no_grad():
            success = best_so_far.offer(batch, x_adv, model(x_adv))
        if self.stop:
            fallen[batch.rows] = success
        return every.take(~fallen[every.rows])


@dataclass(frozen=True)
class _RunState:
    """State of a run: where each case is, where it was best, and how long its steps are."""

    x: Tensor
    previous: Tensor
    gradient: Tensor
    value: Tensor
    best: Tensor
    best_gradient: Tensor
    best_value: Tensor
    step_size: Tensor
    """`(n,)`, in units of the image."""
    rises: Tensor
    """Steps since the last check that raised the loss."""
    best_at_check: Tensor
    halved_at_check: Tensor

    @classmethod
    def initial(cls, x: Tensor, gradient: Tensor, value: Tensor, step_size: float) -> _RunState:
        rises = torch.zeros_like(value)
        return cls(
            *(x, x, gradient, value, x, gradient, value),
            *(torch.full_like(value, step_size), rises, value, torch.ones_like(value).bool()),
        )

    def take(self, mask: Tensor) -> _RunState:
        return _RunState(*(getattr(self, field.name)[mask] for field in dataclasses.fields(self)))

    def evaluated(self, x: Tensor, gradient: Tensor, value: Tensor) -> _RunState:
        """The state with loss and gradient at the new iterate."""
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

    def at_checkpoint(self, period: int) -> _RunState:
        """Halve the steps where the loss rose too seldom, or not at all since the last check."""
        stuck = ~self.halved_at_check & (self.best_value <= self.best_at_check)
        halved = (self.rises <= RISING_SHARE * period) | stuck
        back = per_case(halved, self.x)
        x = torch.where(back, self.best, self.x)
        return dataclasses.replace(
            self,
            x=x,
            previous=torch.where(back, x, self.previous),
            gradient=torch.where(back, self.best_gradient, self.gradient),
            value=torch.where(halved, self.best_value, self.value),
            step_size=torch.where(halved, self.step_size / 2, self.step_size),
            rises=torch.zeros_like(self.rises),
            best_at_check=self.best_value,
            halved_at_check=halved,
        )

    def stepped(self, image: Tensor, threat: ThreatModel) -> _RunState:
        """One step along the gradient, with momentum."""
        step = per_case(self.step_size, self.x) * threat.steepest(self.gradient)
        straight = threat.project(self.x + step, image)
        bent = self.x + MOMENTUM * (straight - self.x) + (1 - MOMENTUM) * (self.x - self.previous)
        # At the start, and back at the best image, there is no previous step: no momentum.
        still = (self.x == self.previous).flatten(1).all(1)
        after = torch.where(per_case(still, bent), straight, threat.project(bent, image))
        return dataclasses.replace(self, x=after, previous=self.x)
