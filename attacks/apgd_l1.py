"""Auto-PGD in L1 (APGD-L1), with sparse steps: Croce and Hein 2021 (arXiv 2103.01208)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

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
    MAX_TARGETS,
    AttackLoss,
    climb,
    climb_and_value,
    likeliest_wrong,
)
from attacks.streams import Streams, call_text
from attacks.threat import ThreatModel, per_case, project_l1

RADII = ((3.0, 0.3), (2.0, 0.3), (1.0, 0.4))
"""The ball shrinks to eps: its radius in units of eps, and the share of the steps in it."""
CHECK = 0.04
"""Share of the steps in a ball after which step size and sparsity adapt, again and again."""
FIRST_SHARE = 0.2
"""Share of the values that the first steps move."""
SHRINK, SHORTEST = 1.5, 10.0
"""By how much steps become shorter and sparser; the shortest step as a part of the radius."""
SPARSER = 0.95
"""Where the best image changes fewer values than this share of those before, it still becomes
sparser, and its steps become long again."""


@dataclass(frozen=True)
class APGDL1:
    """Steps that move only the values with the largest gradients; how many adapts to the image.

    Use it as the test in L1. Each step has a fixed length in L1, shared by the values that it
    moves, and is projected exactly onto ball and box. The ball shrinks from 3 eps to eps. Not of
    the paper: first each of the likeliest wrong labels is tried at the exact optimum of its
    linearised margin, where a few values go to the end of the box. Where the model is nearly linear
    nothing is better.
    """

    norms: ClassVar[tuple[str, ...]] = ("L1",)
    minimum_norm: ClassVar[bool] = False
    knowledge: ClassVar[Knowledge] = "gradients"

    steps: int = 100
    """Gradient steps of each run."""
    restarts: int = 1
    """Runs; the best image of all is kept."""
    loss: str = "cross_entropy"
    """As in APGD."""
    stop: bool = field(default=False, repr=False)
    """As in PGD: end each case at its first success beyond rounding."""

    def __post_init__(self) -> None:
        require_positive(self, "steps", "restarts")
        require_choice(self, loss=LOSSES)

    @property
    def passes(self) -> int:
        """Those of the runs; before, one ranks the labels and two try each of them."""
        return 1 + 2 * MAX_TARGETS + self.restarts * (self.steps + 1)

    @property
    def stream_key(self) -> str:
        """`stop` is no part of it."""
        return call_text("APGDL1", steps=self.steps, restarts=self.restarts, loss=self.loss)

    @property
    def traits(self) -> AttackTraits:
        """With two classes the gradients of all losses are parallel."""
        on_classes = self.loss in CLASS_LOSSES
        return AttackTraits(
            steps=self.steps,
            early_stopping=replace(self, stop=True),
            equals_on_two_classes=replace(self, loss="margin") if on_classes else None,
            dense=self.loss in DENSE_LOSSES,
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
        """The image inside the ball with the largest margin over all runs."""
        require_fit(self, threat, y.ndim > 1)
        best_so_far, batch = BestSoFar(x), ActiveCases.of(x, y, streams, target)
        ended = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        for loss in self._first_losses(model, batch):
            _, gradient = climb(model, x, loss)
            linear = linear_optimum(gradient, x, threat.eps)
            with torch.no_grad():
                ended |= best_so_far.offer(batch, linear, model(linear))
        batch = batch.take(~ended) if self.stop else batch
        for _ in range(self.restarts):
            if not len(batch.rows):
                break
            batch = self._run(model, batch, best_so_far, threat)
        return best_so_far.x_adv

    def _first_losses(self, model: Model, batch: ActiveCases) -> list[AttackLoss]:
        """The margins towards the likeliest wrong labels, or the loss itself where there is one."""
        if batch.target is not None or batch.y.ndim > 1:
            return [AttackLoss(self.loss, batch.y, batch.target)]
        labels = likeliest_wrong(model, batch.x, batch.y)[:, :MAX_TARGETS]
        return [AttackLoss("margin", batch.y, label) for label in labels.T]

    def _run(
        self, model: Model, batch: ActiveCases, best_so_far: BestSoFar, threat: ThreatModel
    ) -> ActiveCases:
        """One run from a random image; returns the cases that are still active after it."""
        radius = RADII[0][0] * threat.eps
        x_adv = project_l1(batch.x + batch.streams.normal(batch.x), batch.x, radius)
        changed = batch.x.new_full((len(batch.x),), batch.x[0].numel())
        share = torch.full_like(changed, FIRST_SHARE)
        for place, count in enumerate(_parts(self.steps)):
            radius = RADII[place][0] * threat.eps
            inside = RADII[place][0] == 1
            if place and count:
                x_adv = project_l1(x_adv, batch.x, radius)
                changed = _changed(x_adv, batch.x)
                share = changed / batch.x[0].numel() / SHRINK
            period = max(int(CHECK * count), 1)
            state: _RunState | None = None
            for step in range(count):
                loss = AttackLoss(self.loss, batch.y, batch.target)
                logits, gradient, value = climb_and_value(model, x_adv, loss)
                if state is None:
                    state = _RunState.initial(x_adv, gradient, value, radius, share, changed)
                else:
                    state = state.evaluated(x_adv, gradient, value)
                if inside:
                    success = best_so_far.offer(batch, x_adv, logits)
                    if self.stop and bool(success.any()):
                        batch, state = batch.take(~success), state.take(~success)
                        if not len(batch.rows):
                            return batch
                if step and step % period == 0:
                    state = state.at_checkpoint(batch.x, radius)
                state = replace(state, x=state.stepped(batch.x, radius))
                x_adv = state.x
            if state is not None and not inside:
                with_best = per_case(state.best_value > -torch.inf, x_adv)
                x_adv = torch.where(with_best, state.best, x_adv)
        with torch.no_grad():
            success = best_so_far.offer(batch, x_adv, model(x_adv))
        return batch.take(~success) if self.stop else batch


def linear_optimum(gradient: Tensor, x: Tensor, eps: float) -> Tensor:
    """The image within `eps` in L1 and the box at which a linear function has grown most.

    Values with the largest gradients go to the end of the box, one after the other.
    """
    slope = gradient.flatten(1)
    room = torch.where(slope > 0, 1 - x.flatten(1), x.flatten(1))
    room = torch.where(slope == 0, 0.0, room).double()
    order = slope.abs().sort(dim=1, descending=True, stable=True).indices
    ordered = room.gather(1, order)
    left = (eps - (ordered.cumsum(1) - ordered)).clamp_min(0)
    moved = torch.zeros_like(room).scatter(1, order, torch.minimum(ordered, left))
    found = x.double() + (slope.sign() * moved).view_as(x)
    return found.to(x).clamp(0, 1)


def _parts(steps: int) -> list[int]:
    """Steps in each ball; all that rounding leaves are in the last, which has one at least."""
    before = [min(round(share * steps), steps - 1) for _, share in RADII[:-1]]
    while sum(before) >= steps:
        before = [max(count - 1, 0) for count in before]
    return [*before, steps - sum(before)]


def _changed(x_adv: Tensor, x: Tensor) -> Tensor:
    """Number of changed values of each image `(n,)`."""
    return (x_adv != x).flatten(1).sum(1).to(x)


@dataclass(frozen=True)
class _RunState:
    """State of a run in one ball: where each case is and was best, and how its steps are."""

    x: Tensor
    gradient: Tensor
    best: Tensor
    best_gradient: Tensor
    best_value: Tensor
    step_size: Tensor
    """`(n,)`, length in L1."""
    share: Tensor
    """`(n,)`: share of the values that a step moves."""
    changed: Tensor
    """`(n,)`: values that the best image changed at the last check."""

    @classmethod
    def initial(
        cls,
        x: Tensor,
        gradient: Tensor,
        value: Tensor,
        radius: float,
        share: Tensor,
        changed: Tensor,
    ) -> _RunState:
        length = torch.full_like(share, radius)
        return cls(x, gradient, x, gradient, value, length, share, changed)

    def take(self, mask: Tensor) -> _RunState:
        return _RunState(*(getattr(self, field.name)[mask] for field in dataclasses.fields(self)))

    def evaluated(self, x: Tensor, gradient: Tensor, value: Tensor) -> _RunState:
        """The state with loss and gradient at the new iterate."""
        better = value > self.best_value
        return replace(
            self,
            gradient=gradient,
            best=torch.where(per_case(better, x), x, self.best),
            best_gradient=torch.where(per_case(better, x), gradient, self.best_gradient),
            best_value=torch.where(better, value, self.best_value),
        )

    def at_checkpoint(self, image: Tensor, radius: float) -> _RunState:
        """Go on from the best image where that has become sparser, else with shorter steps."""
        changed = _changed(self.best, image)
        sparser = changed < SPARSER * self.changed
        shorter = (self.step_size / SHRINK).clamp_min(radius / SHORTEST)
        back = per_case(sparser, self.x)
        return replace(
            self,
            x=torch.where(back, self.best, self.x),
            gradient=torch.where(back, self.best_gradient, self.gradient),
            step_size=torch.where(sparser, radius, shorter),
            share=changed / image[0].numel() / SHRINK,
            changed=changed,
        )

    def stepped(self, image: Tensor, radius: float) -> Tensor:
        """One step along the largest gradients, each of their values by the same length."""
        size = self.gradient.flatten(1).abs()
        count = (self.share * size.shape[1]).long().clamp(1, size.shape[1])
        smallest = size.sort(dim=1, descending=True).values.gather(1, count[:, None] - 1)
        moving = (size >= smallest) & (size > 0)
        length = self.step_size / moving.sum(1).clamp_min(1)
        way = torch.where(moving.view_as(self.x), self.gradient.sign(), 0.0)
        return project_l1(self.x + per_case(length, way) * way, image, radius)
