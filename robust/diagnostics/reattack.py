"""Attacks on what the plan's attacks left standing: longer, without gradients, without bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attacks import (
    PGD,
    Attack,
    AutoAttack,
    Model,
    Noise,
    Square,
    Streams,
    ThreatModel,
    WrittenAsPGD,
)
from robust.engine.batch import Batch
from robust.engine.cells import Cell, running_order
from robust.engine.goal import Goal
from robust.engine.run_store import RunStore
from robust.engine.verified_attack import slack
from robust.models.acceleration.memory import memory_ran_out
from robust.records.probe import Search

QUERIES = 300
RESTARTS = 3
STEPS = 40, 200
"""Twice the steps of the plan's longest attack, at least and at most."""
BOUNDLESS = ((1.0, "image"), (0.25, "image"), (1.0, "random"))
"""In L-inf: eps and start of what is tried in turn where every image is allowed."""


@dataclass(frozen=True)
class Standing:
    """Cases that withstood, at one eps, all attacks of the plan that live by gradients alone."""

    eps: float
    rows: list[int]
    fell: frozenset[int]
    """Of these, what some other attack of the plan felled: a black box, alone or in an ensemble."""


def standing(store: RunStore, cells: Sequence[Cell], norm: str, least: int) -> Standing | None:
    """At the largest eps at which at least so many cases stand, or else at that with the most.

    None where all fell, or where no attack of the plan uses gradients within an eps.
    """
    own = [
        c for c in running_order(cells) if c.threat.norm == norm and not isinstance(c.attack, Noise)
    ]
    best: Standing | None = None
    for eps in sorted({c.threat.eps for c in own if math.isfinite(c.threat.eps)}, reverse=True):
        allowed = slack(ThreatModel(norm, eps), 1)
        tried: set[int] = set()
        white: set[int] = set()
        other: set[int] = set()
        for cell in own:
            for o in store.outcomes(cell.key):
                if cell.threat.eps == eps and o.failure is None:
                    tried |= set() if isinstance(cell.attack, Square) else {o.row}
                if o.success and (o.linf if norm == "Linf" else o.l2) <= allowed:
                    (white if by_gradients_alone(cell.attack) else other).add(o.row)
        left = sorted(tried - white)
        if left and (best is None or len(left) > len(best.rows)):
            best = Standing(eps, left, frozenset(other & set(left)))
        if len(left) >= least:
            return best
    return best


def by_gradients_alone(attack: Attack) -> bool:
    """Not so an ensemble that ends with a black box: which of the two felled a case is not told."""
    return not isinstance(attack, Noise | Square | AutoAttack)


def search(
    model: Model,
    batch: Batch,
    threat: ThreatModel,
    cells: Sequence[Cell],
    goal: Goal,
    seed: int,
    fell: frozenset[int] = frozenset(),
) -> Search:
    """Attack standing cases again, with more steps and restarts, then without gradients.

    What is in `fell` was felled by the plan itself: there more steps are no help.
    """
    attacks = [cell.attack for cell in cells]
    plain = [a.as_pgd() if isinstance(a, WrittenAsPGD) else a for a in attacks]
    most = max((getattr(attack, "steps", 0) for attack in plain), default=0)
    steps = min(max(2 * most, STEPS[0]), STEPS[1])
    longer = PGD(steps=steps, restarts=RESTARTS, objective="margin", start="image", stop=True)
    found = []
    rest = batch
    for attack in (longer, Square(queries=QUERIES)):
        fallen = torch.zeros(len(rest.rows), dtype=torch.bool)
        if len(rest.rows):
            streams = Streams.of(seed, [case.id for case in rest.cases], "probe", repr(attack))
            try:
                x_adv = attack(model, rest.x, rest.y, threat, streams, goal.targets(rest.logits))
                fallen = _reached(model, x_adv, rest, goal)
            except RuntimeError as error:
                if memory_ran_out(error):
                    raise
                # No gradient to be had: what needs one fells nothing.
        found.append([row for row, gone in zip(rest.rows, fallen.tolist(), strict=True) if gone])
        kept = [i for i, gone in enumerate(fallen.tolist()) if not gone]
        rest = rest.take(kept)
    return Search(
        norm=threat.norm,
        eps=threat.eps,
        cases=len(batch.rows),
        longer=len(set(found[0]) - fell),
        steps=steps,
        restarts=RESTARTS,
        black_box=len(found[1]),
        queries=QUERIES,
    )


def left_without_bounds(model: Model, batch: Batch, seed: int) -> int:
    """How many cases keep their label although any image is allowed."""
    rest = batch
    for eps, start in BOUNDLESS:
        attack = PGD(steps=40, step_size=0.1, objective="margin", start=start, stop=True)
        streams = Streams.of(seed, [case.id for case in rest.cases], "probe", eps, start)
        try:
            x_adv = attack(model, rest.x, rest.y, ThreatModel("Linf", eps), streams)
        except RuntimeError as error:
            if memory_ran_out(error):
                raise
            return len(rest.rows)
        fallen = _reached(model, x_adv, rest, Goal("error", ()))
        rest = rest.take([i for i, gone in enumerate(fallen.tolist()) if not gone])
        if not rest.rows:
            return 0
    return len(rest.rows)


def _reached(model: Model, x_adv: Tensor, batch: Batch, goal: Goal) -> Tensor:
    with torch.no_grad():
        return goal.reached(model(x_adv).argmax(1), batch.y).cpu()
