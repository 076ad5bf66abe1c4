"""Probe of the classifier: short experiments that show whether attacks on it can be believed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from attacks import Model, Streams
from attacks.repeated_passes import AGAIN
from robust.cases.case import sample_rows
from robust.diagnostics.finite_differences import probe_gradients
from robust.diagnostics.line_search import LineSearcher, affordable
from robust.diagnostics.reattack import (
    count_robust_without_bounds,
    find_robust_cases,
    reattack,
)
from robust.engine.cells import running_order
from robust.engine.eligible import right_cases
from robust.engine.mixed_precision import cases_at_once
from robust.engine.run_memory import PROBE
from robust.engine.session import Session
from robust.engine.verified_attack import Recorder
from robust.models.acceleration.memory import memory_ran_out
from robust.models.gradients.gradient_free import has_gradients
from robust.models.proof import span
from robust.plan.spec import AuditSpec
from robust.records.stages.probe import Gradients, LineSearch, Probed, Search
from robust.tasks.contract import Batch

MAX_CASES = 16
MAX_SEARCHED = 256
"""Cases searched along and against the gradient, at most."""
SHARE = 0.2
"""Most passes of the search along further lines, as a share of those of the plan's attacks; the
first `MAX_CASES` are searched so in any case."""
REPEAT_TOLERANCE = 1e-5
"""Largest change between two passes, as a share of the spread of logits, that the order of
additions may cause on a GPU."""


def probe(audit: AuditSpec, session: Session) -> None:
    """Probe the classifier, once a run, and keep the result in its store.

    It comes after the attacks, so that cases which stayed robust can be attacked again.
    """
    store, progress = session.store, session.progress
    if store.get(PROBE) is not None:
        return
    right = list(right_cases(store.clean(), session.cases.entries, session.task))
    if not right:
        return
    progress(0, 1, "probing the model")
    most = min(MAX_CASES, cases_at_once(store) or MAX_CASES)
    while most:
        try:
            store.put(PROBE, _Probe(session, audit, most).run(right))
            break
        except Exception as error:
            if not memory_ran_out(error):
                raise
        most //= 2
    progress(1, 1, "probe finished")


@dataclass(frozen=True)
class _Probe:
    """One run of the probe, on at most `most` cases."""

    session: Session
    audit: AuditSpec
    most: int

    def run(self, right: Sequence[int]) -> Probed:
        """Probe on some of these rows, whose cases are classified correctly."""
        began = time.perf_counter()
        batch = self._load(right, every=True)
        # The network itself: the runner reads random outputs as the mean of several passes.
        model = Recorder(self.session.classifier, batch.y)
        repeat, neighbours = _agreement(model, batch)
        # All else has no gradient, or costs thousands of queries.
        if self.session.classifier.origin.is_black_box:
            return _answers_alone(model, batch, time.perf_counter() - began, repeat, neighbours)
        streams = Streams.of(self.audit.seed, [case.id for case in batch.cases], "probe")
        gradients, boundless = Gradients(len(batch.rows)), 0
        known = has_gradients(self.session.classifier)  # else nobody is misled by them
        if (
            known and repeat < REPEAT_TOLERANCE
        ):  # of random outputs, finite differences mean nothing
            self._show(1, "gradients")
            gradients = probe_gradients(model, batch.x, batch.y, streams)
        if known:
            self._show(2, "attack without bounds")
            boundless = count_robust_without_bounds(
                model, batch, self.session.task.any_error(), self.audit.seed
            )
        self._show(3, "longer attacks on robust cases")
        found, lines, passes = self._search(batch, len(right))
        return Probed(
            cases=len(batch.rows),
            passes=model.forward + model.backward + passes,
            seconds=round(time.perf_counter() - began, 3),
            repeat=repeat,
            neighbours=neighbours,
            training=_in_training(self.session.classifier),
            gradients=gradients,
            boundless=boundless,
            search=found,
            lines=lines,
        )

    def _search(self, others: Batch, eligible: int) -> tuple[Search | None, LineSearch | None, int]:
        """Results of longer attacks and of lines on the robust cases, and the passes they took."""
        session, norm = self.session, self.audit.norm
        left = find_robust_cases(session.store, session.cells, norm, self.most)
        if left is None:
            return None, None, 0
        batch = self._load(left.rows)
        model = Recorder(session.classifier, batch.y)
        found = reattack(model, batch, left, session.cells, session.task, self.audit.seed)
        # A line would lead out of the region.
        limited = session.task.record.touch != "image" or session.task.bags is not None
        # Of outlines a line crosses borders of pixels all the time.
        if limited or not session.task.class_count:
            return found, None, model.forward + model.backward
        self._show(4, "lines through robust cases")
        rows = self._drawn(left.rows, MAX_SEARCHED)
        step = min(cases_at_once(session.store) or MAX_SEARCHED, MAX_SEARCHED)
        batches = [
            part
            for i in range(0, len(rows), step)
            for part in session.runner.load(rows[i : i + step])
        ]
        passes = eligible * sum(cell.attack.passes for cell in running_order(session.cells))
        most = max(affordable(SHARE * passes), self.most)
        searcher = LineSearcher(model, left, others, session.task, self.audit.seed)
        return found, searcher.search(batches, most), model.forward + model.backward

    def _load(self, rows: Sequence[int], *, every: bool = False) -> Batch:
        """At most `most` of these cases, drawn by seed; of the commonest shape."""
        parts = self.session.runner.load(self._drawn(rows, self.most), every=every)
        return max(parts, key=lambda batch: len(batch.rows))

    def _drawn(self, rows: Sequence[int], most: int) -> list[int]:
        return sample_rows(self.session.cases.entries, rows, most, self.audit.seed)

    def _show(self, step: int, label: str) -> None:
        self.session.progress(step, 5, f"probing the model: {label}")


def _answers_alone(
    model: Recorder, batch: Batch, seconds: float, repeat: float, neighbours: float
) -> Probed:
    """What is known of a black box: whether it gives the same answer twice."""
    return Probed(
        cases=len(batch.rows),
        passes=model.forward,
        seconds=round(seconds, 3),
        repeat=repeat,
        neighbours=neighbours,
        training=(),
        gradients=Gradients(),
        boundless=0,
    )


@torch.no_grad()
def _agreement(model: Model, batch: Batch) -> tuple[float, float]:
    """Largest change between passes of a batch, and between a batch and its halves.

    Both as shares of the spread of logits. Of several passes: random outputs may agree by chance,
    and then chance would pass for what the halves change.
    """
    first = model(batch.x)
    again = torch.stack([model(batch.x) for _ in range(AGAIN)])
    repeat = float((first - again).abs().max() / span(first))
    half = len(batch.rows) // 2
    if half < 2:
        return repeat, 0.0
    apart = torch.cat([model(batch.x[:half]), model(batch.x[half:])])
    return repeat, float((first - apart).abs().max() / span(first))


def _in_training(classifier: torch.nn.Module) -> tuple[str, ...]:
    """Kinds of modules that stay in training mode."""
    return tuple(sorted({type(part).__name__ for part in classifier.modules() if part.training}))
