"""The cases on which scenarios are played out, in two halves that share no patient."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from attacks import ThreatModel
from attacks.streams import stream_key
from robust.cases.case import spread
from robust.engine.batch import Batch
from robust.engine.goal import Goal
from robust.engine.runner import Runner
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
    """What all scenarios share. Everything is verified here, on the network as it is."""

    runner: Runner
    goal: Goal
    seed: int
    threat: ThreatModel
    batch: Batch
    """The cases to attack: right when clean, eligible for the goal, of one shape."""
    others: Batch
    """Clean images of every label, right as well, which an attacker may have at hand."""
    half: Places
    """`(n,)`, 0 or 1: no patient and no copy of an image is in both."""
    bootstrap: Bootstrap

    def reached(self, x_adv: Tensor, batch: Batch) -> Mask:
        """Which images `(n, c, h, w)` lead their cases to the goal; NaN logits lead nowhere."""
        found = []
        for rows in torch.split(torch.arange(len(x_adv), device=x_adv.device), AT_ONCE):
            with torch.no_grad():
                logits = self.runner.logits(x_adv[rows])
            got = self.goal.reached(logits.argmax(1), batch.y[rows])
            found.append((got & logits.isfinite().all(1)).cpu().numpy())
        return np.concatenate(found)

    def fooled(self, hits: Mask) -> Estimate:
        """The share of all cases `(n,)`."""
        found = self.bootstrap.rate(hits)
        assert found is not None  # there are cases
        return found

    def targets(self, batch: Batch) -> Tensor | None:
        return self.goal.targets(batch.logits)

    def generator(self, *labels: object) -> torch.Generator:
        """Of the CPU, for what is drawn for a whole half."""
        return torch.Generator().manual_seed(stream_key(self.seed, *labels))

    def halves(self) -> Iterator[tuple[int, Places, Places]]:
        """The number of each half, the places to fit on, and those to try on."""
        for number in (0, 1):
            yield number, (self.half != number).nonzero()[0], (self.half == number).nonzero()[0]

    def kept(self, name: str, make: Callable[[], Any]) -> Any:
        """From the store, where it was made before the run was cut short."""
        store, key = self.runner.store, f"scenario|{name}"
        if (known := store.get_json(key)) is None:
            self.runner.progress(0, 1, name.replace("|", " "))
            known = make()
            store.put_json(key, known)
        return known

    def another(self, place: int, number: int) -> int | None:
        """A clean image, as a place in `others`, whose label is what the attacker wants of a case.

        The `number` chooses among them; None where there is none.
        """
        y = self.batch.y[place].expand(len(self.others.y))
        good = self.goal.reached(self.others.y, y)
        steered = self.targets(self.batch.take([place]))
        if steered is not None:
            good &= self.others.y == steered
        choice = good.nonzero().flatten().tolist()
        return choice[number % len(choice)] if choice else None


def make_holdout(
    runner: Runner, goal: Goal, seed: int, threat: ThreatModel, cases: int
) -> Holdout | None:
    """At most so many cases; None where fewer than two patients are left to attack."""
    right = {
        one.row: one.pixels
        for one in runner.store.clean()
        if one.logits is not None
        and int(np.argmax(one.logits)) == runner.cases.entries[one.row].label
    }
    labels = torch.tensor([runner.cases.entries[row].label for row in right], dtype=torch.long)
    eligible = [row for row, ok in zip(right, goal.eligible(labels).tolist(), strict=True) if ok]
    if not eligible:
        return None
    (first,) = runner.load(eligible[:1], goal)
    most = max(2, MOST_PIXELS // first.x.numel())
    batch = _of_one_shape(runner, spread(eligible, min(cases, most)), goal, first.x.shape[1:])
    groups = merge_duplicates(
        [runner.cases.entries[row].group for row in batch.rows], [right[row] for row in batch.rows]
    )
    if len(set(groups.tolist())) < 2:
        return None
    others = _of_one_shape(
        runner, spread(list(right), min(AT_ONCE, most)), Goal("error", ()), first.x.shape[1:]
    )
    halves = folds_by_group(groups, seed, 2)
    bootstrap = Bootstrap(groups.tolist(), seed=seed)
    return Holdout(runner, goal, seed, threat, batch, others, halves, bootstrap)


def _of_one_shape(runner: Runner, rows: Sequence[int], goal: Goal, shape: torch.Size) -> Batch:
    parts = [one for one in runner.load(rows, goal) if one.x.shape[1:] == shape]
    if len(parts) != 1:
        raise InputError("the images of a run changed while it ran")
    return parts[0]
