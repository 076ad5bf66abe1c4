"""Attacks on the cases that the plan left robust: longer, without gradients, without bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attacks import PGD, Model, Square, Streams, ThreatModel
from robust.engine.cells import Cell, running_order
from robust.engine.run_store import RunStore
from robust.engine.touch.instances import within_limits
from robust.engine.verified_attack import slack
from robust.models.acceleration.memory import memory_ran_out
from robust.models.gradients.gradient_free import WITH_GRADIENTS
from robust.records.stages.probe import Search
from robust.tasks.contract import Batch, Task

QUERIES = 300
"""Queries per case of the attack without gradients."""
RESTARTS = 3
"""Restarts of the longer attack."""
STEPS = 40, 200
"""Fewest and most steps of the longer attack; between them, twice the plan's longest attack."""
UNBOUNDED = ((1.0, "image"), (0.25, "image"), (1.0, "random"))
"""Eps in L-inf and start of the attacks that may return any image, in turn."""


@dataclass(frozen=True)
class RobustCases:
    """Cases robust at one eps to all attacks of the plan that use gradients alone."""

    threat: ThreatModel
    rows: list[int]
    fooled_otherwise: frozenset[int]
    """Those that another attack of the plan fooled: a black box, alone or in an ensemble."""
    fooled_by_black_box: frozenset[int]
    """Those that an attack of the plan fooled without any gradient."""


def find_robust_cases(
    store: RunStore, cells: Sequence[Cell], norm: str, least: int
) -> RobustCases | None:
    """Robust cases at the largest eps with at least `least` of them, or else at the eps with most.

    None where no case is robust, where no attack of the plan uses gradients within an eps, and in
    L1 and L0, in which neither PGD nor Square searches.
    """
    if norm not in PGD.norms:
        return None
    own = [
        c for c in running_order(cells) if c.threat.norm == norm and not c.attack.traits.baseline
    ]
    best: RobustCases | None = None
    for eps in sorted({c.threat.eps for c in own if math.isfinite(c.threat.eps)}, reverse=True):
        threat = ThreatModel(norm, eps)
        allowed = slack(threat, 1)
        tried: set[int] = set()
        white: set[int] = set()
        mixed: set[int] = set()
        black: set[int] = set()
        for cell in own:
            for o in store.outcomes(cell.key):
                knowledge = cell.attack.knowledge
                if cell.threat.eps == eps and o.failure is None:
                    tried |= {o.row} if knowledge in WITH_GRADIENTS else set()
                if o.success and o.distance(norm) <= allowed:
                    kinds = {"gradients": white, "gradients and scores": mixed}
                    kinds.get(knowledge, black).add(o.row)
        left = sorted(tried - white)
        if left and (best is None or len(left) > len(best.rows)):
            otherwise, by_black_box = (mixed | black) & set(left), black & set(left)
            best = RobustCases(threat, left, frozenset(otherwise), frozenset(by_black_box))
        if len(left) >= least:
            return best
    return best


def reattack(
    model: Model,
    batch: Batch,
    left: RobustCases,
    cells: Sequence[Cell],
    task: Task,
    seed: int,
) -> Search:
    """Attack a batch of cases that withstood again, with more steps, then without gradients.

    A case that the plan itself fooled does not count for more steps. A case that a black box of the
    plan fooled, and more steps do not, counts for the attack without gradients.
    """
    threat = left.threat
    most = max((cell.attack.traits.steps for cell in cells), default=0)
    steps = min(max(2 * most, STEPS[0]), STEPS[1])
    longer = PGD(steps=steps, restarts=RESTARTS, loss="margin", start="image", stop=True)
    found = []
    rest = batch
    for attack in (longer, Square(queries=QUERIES)):
        fooled = torch.zeros(len(rest.rows), dtype=torch.bool)
        if len(rest.rows):
            streams = Streams.of(seed, [case.id for case in rest.cases], "probe", attack.stream_key)
            try:
                still = attack.traits.keeps_still
                within = within_limits(task, attack, rest, together=still)
                x_adv = within(model, rest.x, rest.y, threat, streams, task.targets(rest))
                fooled = _reached(model, x_adv, rest, task)
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt) or memory_ran_out(error):
                    raise
                # The model has no gradient: an attack that needs one fools no case.
        found.append(
            [row for row, success in zip(rest.rows, fooled.tolist(), strict=True) if success]
        )
        kept = [i for i, success in enumerate(fooled.tolist()) if not success]
        rest = rest.take(kept)
    return Search(
        norm=threat.norm,
        eps=threat.eps,
        cases=len(batch.rows),
        longer=len(set(found[0]) - left.fooled_otherwise),
        steps=steps,
        restarts=RESTARTS,
        black_box=len(set(found[1]) | (left.fooled_by_black_box & set(batch.rows)) - set(found[0])),
        queries=QUERIES,
    )


def count_robust_without_bounds(model: Model, batch: Batch, task: Task, seed: int) -> int:
    """Number of cases on which `task`, any error, is not reached although any image is allowed."""
    rest = batch
    for eps, start in UNBOUNDED:
        attack = PGD(steps=40, step_size=0.1, loss="margin", start=start, stop=True)
        streams = Streams.of(seed, [case.id for case in rest.cases], "probe", eps, start)
        try:
            x_adv = attack(model, rest.x, rest.y, ThreatModel("Linf", eps), streams)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) or memory_ran_out(error):
                raise
            return len(rest.rows)
        fooled = _reached(model, x_adv, rest, task)
        rest = rest.take([i for i, success in enumerate(fooled.tolist()) if not success])
        if not rest.rows:
            return 0
    return len(rest.rows)


def _reached(model: Model, x_adv: Tensor, batch: Batch, task: Task) -> Tensor:
    with torch.no_grad():
        return task.success(model(x_adv), batch).cpu()
