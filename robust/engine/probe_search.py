"""Attacks on what the plan's attacks left standing: longer, without gradients, without bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from attacks import PGD, Attack, Model, Noise, Square, Streams, ThreatModel, WrittenAsPGD
from robust.engine.cells import Cell, running_order
from robust.engine.evidence import Search
from robust.engine.goals import Goal
from robust.engine.store import Store
from robust.engine.verify import Batch, memory_ran_out, slack

QUERIES = 300
RESTARTS = 3
STEPS = 40, 200
"""Twice the steps of the plan's longest attack, at least and at most."""
BOUNDLESS = ((1.0, "image"), (0.25, "image"), (1.0, "random"))
"""In L-inf: eps and start of what is tried in turn where every image is allowed."""


def standing(
    store: Store, cells: Sequence[Cell], norm: str, least: int
) -> tuple[float, list[int]] | None:
    """The largest eps at which at least `least` cases withstood all attacks with gradients, and
    these cases; the eps with the most of them where there is none such; None where all fell.
    """
    white = [c for c in running_order(cells) if c.threat.norm == norm and uses_gradients(c.attack)]
    best: tuple[float, list[int]] | None = None
    for eps in sorted({c.threat.eps for c in white if math.isfinite(c.threat.eps)}, reverse=True):
        allowed = slack(ThreatModel(norm, eps), 1)
        tried: set[int] = set()
        fell: set[int] = set()
        for cell in white:
            for o in store.outcomes(cell.key):
                if cell.threat.eps == eps and o.failure is None:
                    tried.add(o.row)
                if o.success and (o.linf if norm == "Linf" else o.l2) <= allowed:
                    fell.add(o.row)
        left = sorted(tried - fell)
        if left and (best is None or len(left) > len(best[1])):
            best = eps, left
        if len(left) >= least:
            return best
    return best


def uses_gradients(attack: Attack) -> bool:
    return not isinstance(attack, Noise | Square)


def search(
    model: Model, batch: Batch, threat: ThreatModel, cells: Sequence[Cell], goal: Goal, seed: int
) -> Search:
    """Attack standing cases again, with more steps and restarts, then without gradients."""
    attacks = [cell.attack for cell in cells]
    plain = [a.as_pgd() if isinstance(a, WrittenAsPGD) else a for a in attacks]
    most = max((getattr(attack, "steps", 0) for attack in plain), default=0)
    steps = min(max(2 * most, STEPS[0]), STEPS[1])
    longer = PGD(steps=steps, restarts=RESTARTS, objective="margin", start="image", stop=True)
    fell = []
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
        fell.append(int(fallen.sum()))
        kept = [i for i, gone in enumerate(fallen.tolist()) if not gone]
        rest = rest.take(kept)
    return Search(
        norm=threat.norm,
        eps=threat.eps,
        cases=len(batch.rows),
        longer=fell[0],
        steps=steps,
        restarts=RESTARTS,
        black_box=fell[1],
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
