"""Decision-based black-box attack (HopSkipJump, Chen et al. 2020) under a query budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from attacks import Noise, Streams, ThreatModel, make_attack
from attacks.threat import per_case
from robust.engine.run_memory import QueryResult
from robust.engine.verified_attack import slack
from robust.errors import BlackBoxFailure, first_line
from robust.metrics.arrays import Mask, Places
from robust.records import Scenario
from robust.scenarios.holdout import Holdout, Memoise
from robust.tasks.contract import Batch

ATTACK = "foolbox:HopSkipJumpAttack"


class LabelOracle:
    """Gives predicted labels alone, and counts queries up to the largest budget.

    For each case it keeps the nearest queried image that reaches the goal, at every query count in
    `budgets`.
    """

    def __init__(
        self, holdout: Holdout, batch: Batch, budgets: Sequence[int], threat: ThreatModel
    ) -> None:
        self._holdout, self._batch, self._threat = holdout, batch, threat
        self._budgets = sorted(budgets)
        self._distance = torch.full_like(batch.x[:, 0, 0, 0], torch.inf)
        self.count = 0
        self.nearest = batch.x.clone()
        """`(n, c, h, w)`; the clean image where none has reached the goal."""
        self.nearest_by_budget: dict[int, Tensor] = {}
        """`nearest` when each budget was spent; only budgets that have been spent."""

    def __call__(self, z: Tensor) -> Tensor:
        """One-hot labels `(n, k)`; each call is one query a case. Raises QueriesSpent."""
        if self.count >= self._budgets[-1]:
            raise QueriesSpent
        with torch.no_grad():
            label = self._holdout.logits(z).argmax(1)
        if z.shape == self._batch.x.shape:
            good = self._holdout.classification.reached(label, self._batch.y)
            distance = self._threat.distance(z, self._batch.x)
            nearer = good & (distance < self._distance)
            self._distance = torch.where(nearer, distance, self._distance)
            self.nearest = torch.where(per_case(nearer, z), z.detach(), self.nearest)
        self.count += 1
        if self.count in self._budgets:
            self.nearest_by_budget[self.count] = self.nearest
        return F.one_hot(label, self._holdout.batch.kept.shape[1]).to(z)


class QueriesSpent(Exception):
    """No query is left."""


def decision_based(
    holdout: Holdout, budgets: Sequence[int], memoise: Memoise[QueryResult]
) -> list[Scenario]:
    """One scenario for each query budget.

    The attack starts at a clean image whose label reaches the goal. The control queries as many
    random images within the ball.
    """
    hits = {budget: holdout.no_cases() for budget in budgets}
    control = {budget: holdout.no_cases() for budget in budgets}
    failed = ""
    for number, places in enumerate(holdout.chunks()):
        found = memoise(number, lambda places=places: _attack(holdout, places, budgets))  # type: ignore[misc]
        for budget in budgets:
            hits[budget][places] = found.fooled[str(budget)]
            control[budget][places] = found.control[str(budget)]
        failed = failed or found.failed
    return [
        Scenario(
            name="queries",
            attack="HopSkipJump",
            budget=budget,
            size=holdout.threat.eps,
            norm=holdout.threat.norm,
            fooled=holdout.rate(hits[budget]),
            control=holdout.rate(control[budget]),
            failure=failed,
        )
        for budget in sorted(budgets)
    ]


def _attack(holdout: Holdout, places: Places, budgets: Sequence[int]) -> QueryResult:
    """Which of these cases are fooled, by budget; a case without a start image is not."""
    batch = holdout.batch.take(places.tolist())
    starts = [holdout.target_image(place, place) for place in places.tolist()]
    started = [i for i, start in enumerate(starts) if start is not None]
    hits, failed = {budget: np.zeros(len(places), bool) for budget in budgets}, ""
    if started:
        part = batch.take(started)
        images = holdout.others.x[[start for start in starts if start is not None]]
        nearest, failed = hop_skip_jump(holdout, part, images, budgets)
        for budget, x_adv in nearest.items():
            hits[budget][started] = within(holdout, x_adv, part, holdout.threat)
    control = {budget: _random_search(holdout, batch, budget) for budget in budgets}
    return QueryResult(
        fooled={str(budget): mask.tolist() for budget, mask in hits.items()},
        control={str(budget): mask.tolist() for budget, mask in control.items()},
        failed=failed,
    )


def hop_skip_jump(
    holdout: Holdout, batch: Batch, starts: Tensor, budgets: Sequence[int]
) -> tuple[dict[int, Tensor], str]:
    """By budget the nearest images that reach the goal, and the attack's error or an empty text."""
    nearest = ThreatModel(holdout.threat.norm, float("inf"))
    oracle = LabelOracle(holdout, batch, budgets, nearest)
    constraint = "linf" if holdout.threat.norm == "Linf" else "l2"
    attack: Any = make_attack(ATTACK, constraint=constraint, steps=max(budgets))
    streams = Streams.of(holdout.seed, [case.id for case in batch.cases], "queries")
    failed = ""
    try:
        attack(
            *(oracle, batch.x, batch.y, nearest, streams, holdout.targets(batch)),
            starting_points=starts,
        )
    except QueriesSpent:
        pass
    except BlackBoxFailure:
        raise
    except Exception as error:  # noqa: BLE001  (foreign code; what it had found counts)
        failed = f"{type(error).__name__}: {first_line(error)}"
    return {
        budget: oracle.nearest_by_budget.get(budget, oracle.nearest) for budget in budgets
    }, failed


def within(holdout: Holdout, x_adv: Tensor, batch: Batch, threat: ThreatModel) -> Mask:
    """Which images reach the goal inside the ball of a threat model and the box."""
    near = threat.distance(x_adv, batch.x) <= slack(threat, batch.x[0].numel())
    boxed = ((x_adv >= 0) & (x_adv <= 1)).flatten(1).all(1)
    mask: Mask = holdout.reached(x_adv, batch) & (near & boxed).cpu().numpy()
    return mask


def _random_search(holdout: Holdout, batch: Batch, budget: int) -> Mask:
    """Which cases the best of `budget` random images fools."""
    streams = Streams.of(holdout.seed, [case.id for case in batch.cases], "asked at random")
    x_adv = Noise(restarts=budget)(
        holdout.logits, batch.x, batch.y, holdout.threat, streams, holdout.targets(batch)
    )
    return holdout.reached(x_adv, batch)
