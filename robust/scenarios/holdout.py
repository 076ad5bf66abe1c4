"""Held-out split for scenarios: two patient-disjoint halves of the eligible cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from attacks import Model, ThreatModel
from attacks.streams import stream_seed
from robust.cases.case import spread
from robust.engine.batch import Batch
from robust.engine.goal import ANY_ERROR, Goal, eligible_cases
from robust.engine.session import Session
from robust.errors import InputError
from robust.metrics.bootstrap import Bootstrap
from robust.metrics.groups import Places, folds_by_group, merge_duplicates
from robust.records import Estimate

Mask = npt.NDArray[np.bool_]
AT_ONCE = 32
"""Images that go through the network together."""
MOST_PIXELS = 2**27
"""Held in memory at once, half a gigabyte of them: of large images fewer cases are used."""


@dataclass(frozen=True)
class Holdout:
    """What all scenarios share. Every result is measured here, on the network as it is."""

    logits: Model
    goal: Goal
    seed: int
    threat: ThreatModel
    batch: Batch
    """The eligible cases, all of one image shape."""
    others: Batch
    """Clean images of every label, classified correctly, which an attacker may have at hand."""
    half: Places
    """`(n,)`, 0 or 1: no patient and no copy of an image is in both."""
    bootstrap: Bootstrap

    @property
    def classes(self) -> int:
        """How many there are."""
        return self.batch.logits.shape[1]

    def reached(self, x_adv: Tensor, batch: Batch) -> Mask:
        """Which images `(n, c, h, w)` reach the goal of their cases; NaN logits never do."""
        found = []
        for rows in torch.split(torch.arange(len(x_adv), device=x_adv.device), AT_ONCE):
            with torch.no_grad():
                logits = self.logits(x_adv[rows])
            got = self.goal.reached(logits.argmax(1), batch.y[rows])
            found.append((got & logits.isfinite().all(1)).cpu().numpy())
        return np.concatenate(found)

    def none(self) -> Mask:
        """`(n,)`: no case, to be filled in half by half."""
        return np.zeros(len(self.batch.rows), bool)

    def rate(self, hits: Mask) -> Estimate:
        """The share of all cases `(n,)`, with its interval by group."""
        found = self.bootstrap.rate(hits)
        assert found is not None  # there are cases
        return found

    def targets(self, batch: Batch) -> Tensor | None:
        """The label to steer each case to `(n,)`; None where any wrong one will do."""
        return self.goal.targets(batch.logits)

    def generator(self, *labels: object) -> torch.Generator:
        """Of the CPU, for what is drawn for a whole half."""
        return torch.Generator().manual_seed(stream_seed(self.seed, *labels))

    def halves(self) -> Iterator[tuple[int, Places, Places]]:
        """The number of each half, the places to fit on, and those to test on."""
        for number in (0, 1):
            yield number, (self.half != number).nonzero()[0], (self.half == number).nonzero()[0]

    def chunks(self) -> list[Places]:
        """The places of all cases, about `AT_ONCE` at a time."""
        places = np.arange(len(self.batch.rows))
        return np.array_split(places, -(-len(places) // AT_ONCE))

    def another(self, place: int, number: int) -> int | None:
        """A clean image of a label that the attacker wants of a case, as a place in `others`.

        The `number` chooses among them; None where there is none.
        """
        y = self.batch.y[place].expand(len(self.others.y))
        good = self.goal.reached(self.others.y, y)
        target = self.targets(self.batch.take([place]))
        if target is not None:
            good &= self.others.y == target
        choice = good.nonzero().flatten().tolist()
        return choice[number % len(choice)] if choice else None


def make_holdout(session: Session, seed: int, threat: ThreatModel, most: int) -> Holdout | None:
    """At most so many cases; None where fewer than two patients are left to attack."""
    goal, load = session.goal, session.runner.load
    entries = session.cases.entries
    right = eligible_cases(session.store.clean(), entries)
    eligible = list(eligible_cases(right.values(), entries, goal))
    if not eligible:
        return None
    (first,) = load(eligible[:1], goal)
    shape = first.x.shape[1:]
    fitting = max(2, MOST_PIXELS // first.x.numel())
    batch = _of_one_shape(load, spread(eligible, min(most, fitting)), goal, shape)
    groups = merge_duplicates(
        [entries[row].group for row in batch.rows], [right[row].pixels for row in batch.rows]
    )
    if len(set(groups.tolist())) < 2:
        return None
    others = _of_one_shape(load, spread(list(right), min(AT_ONCE, fitting)), ANY_ERROR, shape)
    halves = folds_by_group(groups, seed, 2)
    bootstrap = Bootstrap(groups.tolist(), seed=seed)
    return Holdout(session.runner.logits, goal, seed, threat, batch, others, halves, bootstrap)


def _of_one_shape(
    load: Callable[[Sequence[int], Goal], list[Batch]],
    rows: Sequence[int],
    goal: Goal,
    shape: torch.Size,
) -> Batch:
    parts = [one for one in load(rows, goal) if one.x.shape[1:] == shape]
    if len(parts) != 1:
        raise InputError("the images changed during the run; start again in a new folder")
    return parts[0]
