"""A parameter-free ensemble after AutoAttack (Croce and Hein 2020), for two classes and more."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from attacks.apgd import APGD, ascend
from attacks.contract import Attack, Model, require_fit, require_positive
from attacks.fab import FAB
from attacks.square import Square
from attacks.streams import Streams
from attacks.survivors import Batch, Found
from attacks.threat import ThreatModel

MOST_TARGETS = 9
"""Of the wrong labels, the likeliest: so many targeted runs there are, as in AutoAttack."""


@dataclass(frozen=True)
class Standard:
    """APGD, FAB and Square one after the other, each on the cases that still stand.

    Where gradients near the image lead nowhere, FAB, which also starts far away, often comes back
    with an image just outside the ball: APGD then climbs from its projection. Targeted runs and DLR
    need three classes; with two, where cross-entropy and margin are one direction, those gradients
    go to further starts instead. `steps` and `queries` are budgets; there is nothing to tune.
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
        climbs = sum(attack.minimum_norm for attack in stages)
        return 1 + sum(attack.passes + 1 for attack in stages) + climbs * self._climb.passes

    @property
    def _climb(self) -> APGD:
        return APGD(self.steps, objective="dlr", stop=True)

    def _stages(self, classes: int, targeted: bool) -> Iterator[Attack]:
        """From cheap to dear."""
        yield APGD(self.steps, stop=True)
        if classes == 2 or targeted:
            yield replace(self._climb, start="image", restarts=8)
            yield FAB(self.steps, restarts=3)
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
        found, batch = Found(x), Batch.of(x, y, streams, target)
        with torch.no_grad():
            logits = model(x)
        batch = batch.take(~found.offer(batch, x, logits))
        for attack in self._stages(logits.shape[1], target is not None):
            if not len(batch.rows):
                break
            given = ThreatModel(threat.norm, math.inf) if attack.minimum_norm else threat
            x_adv = attack(model, batch.x, batch.y, given, batch.streams, batch.target)
            x_adv = threat.project(x_adv, batch.x)
            with torch.no_grad():
                fallen = found.offer(batch, x_adv, model(x_adv))
            batch, x_adv = batch.take(~fallen), x_adv[~fallen]
            if attack.minimum_norm and len(batch.rows):
                batch = ascend(model, found, batch, x_adv, target, threat, self._climb)
        return found.best
