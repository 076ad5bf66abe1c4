"""Held-out split for scenarios: two patient-disjoint halves of the eligible cases."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from attacks import Model, ThreatModel
from attacks.streams import stream_seed
from robust.cases.case import sample_rows
from robust.engine.eligible import eligible_cases, right_cases
from robust.engine.session import Session
from robust.errors import InputError
from robust.metrics.arrays import Mask, Places
from robust.metrics.by_group import ByGroup
from robust.metrics.groups import folds_by_group, group_codes
from robust.records import Estimate
from robust.tasks.classification import Classification
from robust.tasks.contract import Batch, Task

BATCH_SIZE = 32
"""Number of images in one forward pass."""
MAX_PIXELS = 2**27
"""Most pixel values in memory (half a gigabyte); with large images fewer cases are used."""


T = TypeVar("T")


class Memoise(Protocol[T]):
    """Gives the result of a chunk of cases, and computes it once in a run."""

    def __call__(self, number: int, make: Callable[[], T], /) -> T:
        """The result of that number."""


@dataclass(frozen=True)
class Holdout:
    """Cases, threat model and measurements that all scenarios share."""

    logits: Model
    task: Task
    seed: int
    threat: ThreatModel
    batch: Batch
    """The eligible cases, all of one image shape."""
    others: Batch
    """Correctly classified clean images of every label, which an attacker may start from."""
    half: Places
    """`(n,)`, 0 or 1: no patient and no copy of an image is in both."""
    by_group: ByGroup

    @property
    def classification(self) -> Classification:
        """The task of a model that answers classes; others are refused before."""
        assert isinstance(self.task, Classification)
        return self.task

    def reached(self, x_adv: Tensor, batch: Batch) -> Mask:
        """Which images `(n, c, h, w)` reach the goal of their cases; NaN logits never do."""
        found = []
        for rows in torch.split(torch.arange(len(x_adv), device=x_adv.device), BATCH_SIZE):
            with torch.no_grad():
                success = self.task.success(self.logits(x_adv[rows]), batch.take(rows.tolist()))
            found.append(success.cpu().numpy())
        return np.concatenate(found)

    def no_cases(self) -> Mask:
        """`(n,)`, all False: a mask to be filled half by half."""
        return np.zeros(len(self.batch.rows), bool)

    def rate(self, hits: Mask) -> Estimate:
        """The rate of a mask `(n,)` over all cases, with its interval by group."""
        found = self.by_group.rate(hits)
        assert found is not None  # there are cases
        return found

    def targets(self, batch: Batch) -> Tensor | None:
        """What to steer each case to; None where any wrong answer will do."""
        return self.task.targets(batch)

    def generator(self, *labels: object) -> torch.Generator:
        """A generator on the CPU, for random numbers that all cases of a half share."""
        return torch.Generator().manual_seed(stream_seed(self.seed, *labels))

    def halves(self) -> Iterator[tuple[int, Places, Places]]:
        """The number of each half, the places to fit on, and those to test on."""
        for number in (0, 1):
            yield number, (self.half != number).nonzero()[0], (self.half == number).nonzero()[0]

    def chunks(self) -> list[Places]:
        """The places of all cases, about `BATCH_SIZE` at a time."""
        places = np.arange(len(self.batch.rows))
        return np.array_split(places, -(-len(places) // BATCH_SIZE))

    def target_image(self, place: int, number: int) -> int | None:
        """Place in `others` of a clean image whose label reaches the goal of a case.

        `number` chooses among several; None where there is none.
        """
        y = self.batch.y[place].expand(len(self.others.y))
        good = self.classification.reached(self.others.y, y)
        target = self.targets(self.batch.take([place]))
        if target is not None:
            good &= self.others.y == target
        choice = good.nonzero().flatten().tolist()
        return choice[number % len(choice)] if choice else None


def make_holdout(
    session: Session,
    seed: int,
    threat: ThreatModel,
    limit: int,
    without: Collection[int] = (),
) -> Holdout | None:
    """Split at most `limit` eligible cases; None where fewer than two patients have one.

    Cases in rows `without` are left out.
    """
    task, load = session.task, session.runner.load
    entries = session.cases.entries
    left_out = set(without)
    clean = (one for one in session.store.clean() if one.row not in left_out)
    right = right_cases(clean, entries, task)
    eligible = list(eligible_cases(right.values(), entries, task))
    if not eligible:
        return None
    (first,) = load(eligible[:1])
    shape = first.x.shape[1:]
    affordable = max(2, MAX_PIXELS // first.x.numel())
    drawn = sample_rows(entries, eligible, min(limit, affordable), seed)
    batch = _of_one_shape(load(drawn), shape)
    groups = group_codes([entries[row].group for row in batch.rows])
    if len(set(groups.tolist())) < 2:
        return None
    drawn = sample_rows(entries, list(right), min(BATCH_SIZE, affordable), seed)
    others = _of_one_shape(load(drawn, every=True), shape)
    halves = folds_by_group(groups, seed, 2)
    by_group = ByGroup(groups.tolist())
    return Holdout(session.runner.logits, task, seed, threat, batch, others, halves, by_group)


def _of_one_shape(batches: Sequence[Batch], shape: torch.Size) -> Batch:
    """The batch whose images have this shape."""
    parts = [one for one in batches if one.x.shape[1:] == shape]
    if len(parts) != 1:
        raise InputError("the images changed during the run; start again in a new folder")
    return parts[0]
