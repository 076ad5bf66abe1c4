"""A few short experiments on the classifier that show whether attacks on it can be believed."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence

import numpy as np
import torch

from attacks import Streams
from robust.cases.case import spread
from robust.diagnostics.evidence import Gradients, Probed, Search
from robust.diagnostics.finite_differences import probe_gradients, span
from robust.diagnostics.reattack import left_without_bounds, search, standing
from robust.engine.batch import Batch
from robust.engine.goal import Goal
from robust.engine.run_store import RunStore
from robust.engine.session import Session
from robust.engine.verified_attack import Recorder
from robust.models import Classifier
from robust.models.acceleration.memory import memory_ran_out
from robust.plan.spec import Plan
from robust.records import build

CASES = 16
STEADY = 1e-5
"""Of the spread of logits: what the order of additions may change from pass to pass on a GPU."""


def probe(plan: Plan, job: Session) -> None:
    """Probe the classifier, once a run, and keep what was seen in its store.

    Afterwards, so that a case which the plan's attacks left standing can be attacked again.
    """
    store = job.runner.store
    if not plan.doubts.probe or store.get("probe") is not None:
        return
    right = [
        one.row
        for one in store.clean()
        if one.logits is not None
        and int(np.argmax(one.logits)) == job.runner.cases.entries[one.row].label
    ]
    if not right:
        return
    job.runner.progress(0, 1, "probing the classifier")
    most = min(CASES, store.get_json("cases at once") or CASES)
    while most:
        try:
            store.put_json("probe", dataclasses.asdict(_probe(plan, job, right, most)))
            break
        except Exception as error:
            if not memory_ran_out(error):
                raise
        most //= 2
    job.runner.progress(1, 1, "done")


def probed(plan: Plan, store: RunStore) -> Probed | None:
    """What the probe of a run saw; None where it was switched off or has not come yet."""
    raw = store.get_json("probe") if plan.doubts.probe else None
    found: Probed | None = None if raw is None else build(Probed, raw)
    return found


def _probe(plan: Plan, job: Session, right: Sequence[int], most: int) -> Probed:
    began = time.perf_counter()
    store, seed = job.runner.store, plan.audit.seed
    batch = _batch(job, right, most, Goal("error", ()))
    model = Recorder(job.runner.logits, batch.y)
    repeat, neighbours = _agreement(model, batch)
    streams = Streams.of(seed, [case.id for case in batch.cases], "probe")
    gradients = Gradients(len(batch.rows))
    if repeat < STEADY:  # finite differences of what is random say nothing
        gradients = probe_gradients(model, batch.x, batch.y, streams)
    boundless = left_without_bounds(model, batch, seed)
    passes = model.forward + model.backward
    found: Search | None = None
    left = standing(store, job.cells, plan.audit.norm, most)
    if left is not None:
        again = _batch(job, left.rows, most, job.goal)
        model = Recorder(job.runner.logits, again.y)
        found = search(model, again, left, job.cells, job.goal, seed)
        passes += model.forward + model.backward
    return Probed(
        cases=len(batch.rows),
        passes=passes,
        seconds=round(time.perf_counter() - began, 3),
        repeat=repeat,
        neighbours=neighbours,
        training=_training(job.runner.classifier),
        gradients=gradients,
        boundless=boundless,
        search=found,
    )


def _batch(job: Session, rows: Sequence[int], most: int, goal: Goal) -> Batch:
    """At most so many of these cases, evenly over them; of the commonest shape."""
    read = [job.runner.load([row], goal) for row in spread(rows, most)]
    by_shape: dict[torch.Size, list[Batch]] = {}
    for (one,) in read:
        by_shape.setdefault(one.x.shape, []).append(one)
    same = max(by_shape.values(), key=len)
    return Batch(
        tuple(one.rows[0] for one in same),
        tuple(one.cases[0] for one in same),
        torch.cat([one.x for one in same]),
        torch.cat([one.y for one in same]),
        torch.cat([one.logits for one in same]),
    )


@torch.no_grad()
def _agreement(model: Recorder, batch: Batch) -> tuple[float, float]:
    """How far two passes of a batch differ, and a batch from its halves, over the spread."""
    first, again = model(batch.x), model(batch.x)
    repeat = float((first - again).abs().max() / span(first))
    half = len(batch.rows) // 2
    if half < 2:
        return repeat, 0.0
    apart = torch.cat([model(batch.x[:half]), model(batch.x[half:])])
    return repeat, float((first - apart).abs().max() / span(first))


def _training(classifier: Classifier) -> tuple[str, ...]:
    return tuple(sorted({type(part).__name__ for part in classifier.modules() if part.training}))
