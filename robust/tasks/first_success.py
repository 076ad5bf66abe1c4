"""Attacks that end once every case of a batch has fallen, whatever the attack itself aims at."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from attacks import AttackFunction, Model, Streams, ThreatModel
from attacks.threat import per_case
from robust.metrics.worst_case import Ball
from robust.tasks.contract import Batch, Task


@dataclass(frozen=True)
class UntilFallen:
    """An attack that keeps of each case the first image with which it falls.

    It ends as soon as there is one of every case. An attack that drops cases from its batch runs to
    its own end: nobody knows then which images are whose.
    """

    attack: AttackFunction
    task: Task
    batch: Batch

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel,
        streams: Streams,
        target: Tensor | None = None,
    ) -> Tensor:
        """The first images with which cases fall; of others the attack's own."""
        watched = _Watched(model, x, threat, self.task, self.batch)
        try:
            x_adv = self.attack(watched, x, y, threat, streams, target)
        except _AllFallen:
            return watched.x_adv
        return torch.where(per_case(watched.fallen, x), watched.x_adv, x_adv.to(x))


class _AllFallen(Exception):
    """Every case has fallen."""


class _Watched:
    """A model that sees which of the images it is shown reach the goal within the threat model."""

    def __init__(
        self, model: Model, x: Tensor, threat: ThreatModel, task: Task, batch: Batch
    ) -> None:
        self._model, self._x, self._threat = model, x, threat
        self._task, self._batch = task, batch
        self._limit = Ball(threat.norm, threat.eps, x[0].numel()).limit
        self.x_adv = x.clone()
        self.fallen = torch.zeros(len(x), dtype=torch.bool, device=x.device)

    def __call__(self, z: Tensor) -> Tensor:
        """The logits; raises `_AllFallen`."""
        logits = self._model(z)
        if z.shape == self._x.shape:
            shown = z.detach()
            inside = self._threat.distance(shown, self._x) <= self._limit
            inside &= ((shown >= 0) & (shown <= 1)).flatten(1).all(1)
            new = self._task.success(logits.detach(), self._batch) & inside & ~self.fallen
            self.x_adv = torch.where(per_case(new, shown), shown, self.x_adv)
            self.fallen |= new
            if bool(self.fallen.all()):
                raise _AllFallen
        return logits
