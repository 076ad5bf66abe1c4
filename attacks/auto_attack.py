"""A parameter-free ensemble after AutoAttack (Croce and Hein 2020), for two classes and more."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from attacks._tracking import ActiveCases, BestSoFar
from attacks.apgd import APGD, ascend
from attacks.contract import Attack, Model, require_fit, require_positive
from attacks.fab import FAB
from attacks.losses import MOST_TARGETS
from attacks.square import Square
from attacks.streams import Streams
from attacks.threat import ThreatModel

WIDER = (2.0, 1.4)
"""Balls, in units of eps, through which an image found outside is brought in."""


@dataclass(frozen=True)
class AutoAttack:
    """APGD, FAB and Square one after the other, each on the cases that still stand.

    Where gradients near the image lead nowhere, FAB, which also starts far away, often comes back
    with an image outside the ball, and APGD climbs from there through narrower ones. Targeted runs
    and DLR need three classes; with two, where cross-entropy and margin are one direction, those
    gradients go to further starts. `steps` and `queries` are budgets; there is nothing to tune.
    """

    norms: ClassVar[tuple[str, ...]] = ("Linf", "L2")
    minimum_norm: ClassVar[bool] = False

    steps: int = 100
    """Of each run of APGD and FAB."""
    queries: int = 5000
    """Of Square."""

    def __post_init__(self) -> None:
        require_positive(self, "steps", "queries")

    @property
    def passes(self) -> int:
        stages = list(self._stages(MOST_TARGETS + 1, False))
        walks = sum(attack.minimum_norm for attack in stages)
        closing = self._climb.passes + len(WIDER) * self._approach.passes
        return 1 + sum(attack.passes + 1 for attack in stages) + walks * closing

    @property
    def _climb(self) -> APGD:
        return APGD(self.steps, objective="dlr", stop=True)

    @property
    def _approach(self) -> APGD:
        return APGD(max(self.steps // 4, 1), objective="dlr")

    def _stages(self, classes: int, targeted: bool) -> Iterator[Attack]:
        """From cheap to dear."""
        yield APGD(self.steps, stop=True)
        if classes == 2 or targeted:
            yield replace(self._climb, start="image", restarts=8)
            yield FAB(self.steps, restarts=5)
        else:
            targets = min(classes - 1, MOST_TARGETS)
            yield replace(self._climb, targets=targets)
            yield FAB(self.steps, restarts=3)
            yield FAB(self.steps, targets=targets)
        yield Square(self.queries)

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
        with torch.no_grad():
            logits = model(x)
        batch = batch.take(~found.offer(batch, x, logits))
        for attack in self._stages(logits.shape[1], target is not None):
            if not len(batch.rows):
                break
            given = ThreatModel(threat.norm, math.inf) if attack.minimum_norm else threat
            x_adv = attack(model, batch.x, batch.y, given, batch.streams, batch.target)
            inside = threat.project(x_adv, batch.x)
            with torch.no_grad():
                fallen = found.offer(batch, inside, model(inside))
            batch, x_adv = batch.take(~fallen), x_adv[~fallen]
            if attack.minimum_norm and len(batch.rows):
                batch = self._close_in(model, found, batch, x_adv, threat, target)
        return found.best

    def _close_in(
        self,
        model: Model,
        found: BestSoFar,
        batch: ActiveCases,
        x_adv: Tensor,
        threat: ThreatModel,
        target: Tensor | None,
    ) -> ActiveCases:
        """APGD from the nearest images found, first in wider balls, so as not to lose the way."""
        for width in WIDER:
            wide = ThreatModel(threat.norm, width * threat.eps)
            outside = BestSoFar(batch.x)
            every = ActiveCases.of(batch.x, batch.y, batch.streams, batch.target)
            start = wide.project(x_adv, batch.x)
            ascend(model, outside, every, start, batch.target, wide, self._approach)
            x_adv = outside.best
        x_adv = threat.project(x_adv, batch.x)
        return ascend(model, found, batch, x_adv, target, threat, self._climb)
