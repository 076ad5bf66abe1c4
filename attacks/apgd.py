"""Auto-PGD, Croce and Hein 2020 (arXiv 2003.01690): momentum, and steps that halve on their own."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from attacks._starts import random_start
from attacks._tracking import ActiveCases, BestSoFar
from attacks.contract import Model, require_fit, require_positive
from attacks.losses import OBJECTIVES, Objective, climb, likeliest_wrong
from attacks.streams import Streams
from attacks.threat import ThreatModel, per_case

MOMENTUM = 0.75
"""Of a step; the rest is what is left of the step before."""
ENOUGH = 0.75
"""Share of the steps in a period that must raise the objective for their length to stay."""


@dataclass(frozen=True)
class APGD:
    """PGD with no step to tune: steps begin at 2 eps and are halved, case by case, where the
    objective no longer rises; the case then goes on from its best image.

    With `targets`, one run towards each of that many likeliest wrong labels (k - 1 at most) takes
    the place of the `restarts`; called with a target, all runs aim at that.
    """

    norms: ClassVar[tuple[str, ...]] = ("Linf", "L2")
    minimum_norm: ClassVar[bool] = False

    steps: int = 100
    restarts: int = 1
    objective: str = "cross_entropy"
    """`cross_entropy`, `margin` or `dlr`."""
    targets: int = 0
    start: str = "random"
    """`random`, or `image`: then the first run begins at the image, any further at random."""
    stop: bool = field(default=False, repr=False)
    """As in PGD: leave a case alone once it has surely fallen."""

    def __post_init__(self) -> None:
        require_positive(self, "steps", "restarts")
        if self.targets < 0:
            raise ValueError(f"APGD: targets must be 0 or more, not {self.targets}")
        for name, allowed in {"objective": OBJECTIVES, "start": ("random", "image")}.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"APGD: {name} must be {' or '.join(allowed)}, not {getattr(self, name)!r}"
                )

    @property
    def passes(self) -> int:
        return bool(self.targets) + max(self.restarts, self.targets) * (self.steps + 1)

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
        found, batch = BestSoFar(x), ActiveCases.of(x, y, streams, target)
        aims: list[Tensor | None] = [target] * self.restarts
        if self.targets and target is None:
            aims = list(likeliest_wrong(model, x, y)[:, : self.targets].T)
        for number, aim in enumerate(aims):
            at_image = self.start == "image" and number == 0
            x_adv = batch.x if at_image else random_start(batch.x, threat, batch.streams)
            batch = ascend(model, found, batch, x_adv, aim, threat, self)
            if not len(batch.rows):
                break
        return found.best


def ascend(
    model: Model,
    found: BestSoFar,
    batch: ActiveCases,
    x_adv: Tensor,
    aim: Tensor | None,
    threat: ThreatModel,
    attack: APGD,
) -> ActiveCases:
    """One run from `x_adv`, towards `aim` (a label for each case of `found`, or None).

    What it finds goes to `found`; the cases that are still at work after it come back.
    """
    check = period = max(int(0.22 * attack.steps), 1)
    walk: _Walk | None = None
    for step in range(attack.steps):
        objective = Objective(attack.objective, batch.y, None if aim is None else aim[batch.rows])
        logits, gradient = climb(model, x_adv, objective)
        value = objective(logits)
        if walk is None:
            walk = _Walk.begin(x_adv, gradient, value, 2 * threat.eps)
        else:
            walk = walk.arrived(x_adv, gradient, value)
        fallen = found.offer(batch, x_adv, logits)
        if attack.stop and bool(fallen.any()):
            batch, walk = batch.take(~fallen), walk.take(~fallen)
            if not len(batch.rows):
                return batch
        if step == check:
            walk = walk.checked(period)
            shorter = period - max(int(0.03 * attack.steps), 1)
            period = max(shorter, int(0.06 * attack.steps), 1)
            check += period
        walk = walk.moved(batch.x, threat)
        x_adv = walk.x
    with torch.no_grad():
        fallen = found.offer(batch, x_adv, model(x_adv))
    return batch.take(~fallen) if attack.stop else batch


@dataclass(frozen=True)
class _Walk:
    """Where each case of a run is, where it was best, and how long its steps are."""

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
    """Steps since the last check that raised the objective."""
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
        """What was found where the last step led."""
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
        """Halve the steps of cases that rose too seldom, or not at all since the last halving."""
        stuck = ~self.halved_at_check & (self.best_value <= self.best_at_check)
        halved = (self.rises <= ENOUGH * period) | stuck
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
        """One step along the gradient, and a part of the one before."""
        step = per_case(self.length, self.x) * threat.steepest(self.gradient)
        straight = threat.project(self.x + step, image)
        bent = self.x + MOMENTUM * (straight - self.x) + (1 - MOMENTUM) * (self.x - self.before)
        # Without a step before, there is nothing to remember: the whole step is taken.
        still = (self.x == self.before).flatten(1).all(1)
        after = torch.where(per_case(still, bent), straight, threat.project(bent, image))
        return dataclasses.replace(self, x=after, before=self.x)
