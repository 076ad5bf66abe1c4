"""An attacker who may only ask, and hears the label alone: counted in queries."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from attacks import Noise, Streams, ThreatModel, make_attack
from attacks.threat import per_case
from robust.engine.batch import Batch
from robust.engine.verified_attack import slack
from robust.errors import first_line
from robust.metrics.groups import Places
from robust.records import Scenario
from robust.scenarios.holdout import AT_ONCE, Holdout, Mask

ATTACK = "foolbox:HopSkipJumpAttack"


class Asked:
    """The model behind a counter: it answers with the label alone, as often as allowed.

    Of each case it keeps the nearest image that it was asked about and that reaches the goal, at
    every number of queries in `marks`.
    """

    def __init__(
        self, ground: Holdout, batch: Batch, marks: Sequence[int], threat: ThreatModel
    ) -> None:
        self._ground, self._batch, self._threat = ground, batch, threat
        self._marks = sorted(marks)
        self._distance = torch.full_like(batch.x[:, 0, 0, 0], torch.inf)
        self.count = 0
        self.nearest = batch.x.clone()
        self.found: dict[int, Tensor] = {}

    def __call__(self, z: Tensor) -> Tensor:
        """`(n, k)`, 1 at the label; each call is one query a case."""
        if self.count >= self._marks[-1]:
            raise EnoughAsked
        with torch.no_grad():
            label = self._ground.runner.logits(z).argmax(1)
        if z.shape == self._batch.x.shape:
            good = self._ground.goal.reached(label, self._batch.y)
            distance = self._threat.distance(z, self._batch.x)
            nearer = good & (distance < self._distance)
            self._distance = torch.where(nearer, distance, self._distance)
            self.nearest = torch.where(per_case(nearer, z), z.detach(), self.nearest)
        self.count += 1
        if self.count in self._marks:
            self.found[self.count] = self.nearest
        return F.one_hot(label, len(self._ground.runner.cases.classes)).to(z)


class EnoughAsked(Exception):
    """No query is left."""


def queries(ground: Holdout, budgets: Sequence[int]) -> list[Scenario]:
    """HopSkipJump (Chen et al. 2020), begun at a clean image of the label wanted.

    The control asks about as many random images of the ball.
    """
    places = np.arange(len(ground.batch.rows))
    chunks = np.array_split(places, -(-len(places) // AT_ONCE))
    hits = {budget: np.zeros(len(places), bool) for budget in budgets}
    control = {budget: np.zeros(len(places), bool) for budget in budgets}
    failed = ""
    for number, chunk in enumerate(chunks):
        found = ground.kept(
            f"queries|{number}",
            lambda own=chunk: _ask(ground, own, budgets),  # type: ignore[misc]
        )
        for budget in budgets:
            hits[budget][chunk] = found["hits"][str(budget)]
            control[budget][chunk] = found["control"][str(budget)]
        failed = failed or found["failed"]
    return [
        Scenario(
            name="queries",
            attack="HopSkipJump",
            budget=budget,
            size=ground.threat.eps,
            norm=ground.threat.norm,
            fooled=ground.fooled(hits[budget]),
            control=ground.fooled(control[budget]),
            failure=failed,
        )
        for budget in sorted(budgets)
    ]


def _ask(ground: Holdout, places: Places, budgets: Sequence[int]) -> dict[str, Any]:
    """Which of these cases fell, by budget; one without an image to begin at stands."""
    batch = ground.batch.take(places.tolist())
    begun = [
        i for i, place in enumerate(places.tolist()) if ground.another(place, place) is not None
    ]
    hits, failed = {budget: np.zeros(len(places), bool) for budget in budgets}, ""
    if begun:
        starts = [ground.another(place, place) for place in places[begun].tolist()]
        part = batch.take(begun)
        nearest, failed = _jump(ground, part, ground.others.x[starts], budgets)
        for budget, x_adv in nearest.items():
            hits[budget][begun] = _within(ground, x_adv, part)
    control = {budget: _drawn(ground, batch, budget) for budget in budgets}
    return {
        "hits": {str(budget): mask.tolist() for budget, mask in hits.items()},
        "control": {str(budget): mask.tolist() for budget, mask in control.items()},
        "failed": failed,
    }


def _jump(
    ground: Holdout, batch: Batch, starts: Tensor, budgets: Sequence[int]
) -> tuple[dict[int, Tensor], str]:
    """The nearest image seen to work, by budget, and why the attack broke off, if it did."""
    nearest = ThreatModel(ground.threat.norm, float("inf"))
    asked = Asked(ground, batch, budgets, nearest)
    constraint = "linf" if ground.threat.norm == "Linf" else "l2"
    attack: Any = make_attack(ATTACK, constraint=constraint, steps=max(budgets))
    attack = dataclasses.replace(attack, starting_points=starts)
    streams = Streams.of(ground.seed, [case.id for case in batch.cases], "queries")
    failed = ""
    try:
        attack(asked, batch.x, batch.y, nearest, streams, ground.targets(batch))
    except EnoughAsked:
        pass
    except Exception as error:  # noqa: BLE001  (foreign code; what it had found counts)
        failed = f"{type(error).__name__}: {first_line(error)}"
    return {budget: asked.found.get(budget, asked.nearest) for budget in budgets}, failed


def _within(ground: Holdout, x_adv: Tensor, batch: Batch) -> Mask:
    """Which images reach the goal inside the ball and the box."""
    near = ground.threat.distance(x_adv, batch.x) <= slack(ground.threat, batch.x[0].numel())
    boxed = ((x_adv >= 0) & (x_adv <= 1)).flatten(1).all(1)
    mask: Mask = ground.reached(x_adv, batch) & (near & boxed).cpu().numpy()
    return mask


def _drawn(ground: Holdout, batch: Batch, budget: int) -> Mask:
    """The best of so many random images."""
    streams = Streams.of(ground.seed, [case.id for case in batch.cases], "asked at random")
    x_adv = Noise(restarts=budget)(
        ground.runner.logits, batch.x, batch.y, ground.threat, streams, ground.targets(batch)
    )
    return ground.reached(x_adv, batch)
