"""Straight lines through cases that the plan left robust: over hills, into narrow regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attacks import PGD, Model, Streams
from attacks.line_search import COARSE_PASSES, FURTHER_PASSES, search_lines
from robust.cases.case import sample_rows
from robust.diagnostics.reattack import RobustCases
from robust.models.acceleration.memory import memory_ran_out
from robust.records.stages.probe import LineSearch
from robust.tasks.contract import Batch, Task

TOWARDS = 2
"""Images of other classes that lines lead to, for each case."""
FURTHER_STEPS = PGD(steps=20, restarts=2, loss="margin", start="image", stop=True)
"""What these steps find was missed for want of steps, not because gradients hide it."""


def affordable(passes: float) -> int:
    """The number of cases that so many passes search along further lines."""
    return int(passes / (FURTHER_PASSES + COARSE_PASSES * TOWARDS))


@dataclass(frozen=True)
class LineSearcher:
    """Searches robust cases; lines lead to the images of `others` with another label."""

    model: Model
    left: RobustCases
    others: Batch
    task: Task
    seed: int

    def search(self, batches: Sequence[Batch], most: int) -> LineSearch:
        """Search all along and against the gradient, then `most` along further lines."""
        every = [row for batch in batches for row in batch.rows]
        cases = [case for batch in batches for case in batch.cases]
        chosen = {every[i] for i in sample_rows(cases, range(len(cases)), most, self.seed)}
        narrow, away = 0, 0
        for batch in batches:
            found = torch.zeros(len(batch.rows), dtype=torch.bool)
            for local in (True, False):
                rest = [
                    i
                    for i, row in enumerate(batch.rows)
                    if (local or row in chosen) and not found[i]
                ]
                if rest:
                    found[rest], short, turned = self._lines(batch.take(rest), local)
                    narrow, away = narrow + short, away + turned
        threat = self.left.threat
        return LineSearch(threat.norm, threat.eps, len(every), min(most, len(every)), narrow, away)

    def _lines(self, batch: Batch, local: bool) -> tuple[Tensor, int, int]:
        """Where lines found something, `(n,)`; cases in narrow regions, and behind a hill.

        Without those that further steps from the image find as well.
        """
        threat, target = self.left.threat, self.task.targets(batch)
        streams = self._streams(batch, "lines", local)
        towards = () if local else self._towards(batch)
        try:
            found = search_lines(
                *(self.model, batch.x, batch.y, threat, streams, target),
                towards=towards,
                local=local,
                further=not local,
            )
            odd = self._reached(found.x_adv, batch) & (found.narrow | found.away).cpu()
            rest = batch.take(odd.nonzero().flatten().tolist())
            if rest.rows:
                target, streams = self.task.targets(rest), self._streams(rest, "steps")
                x_adv = FURTHER_STEPS(self.model, rest.x, rest.y, threat, streams, target)
                odd[odd.clone()] = ~self._reached(x_adv, rest)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) or memory_ran_out(error):
                raise
            # The model has no gradient, which has a warning of its own.
            return torch.zeros(len(batch.rows), dtype=torch.bool), 0, 0
        short = odd & found.narrow.cpu()
        return found.found.cpu(), int(short.sum()), int((odd & ~short).sum())

    def _streams(self, batch: Batch, *labels: object) -> Streams:
        return Streams.of(self.seed, [case.id for case in batch.cases], "probe", *labels)

    @torch.no_grad()
    def _reached(self, x_adv: Tensor, batch: Batch) -> Tensor:
        return self.task.success(self.model(x_adv), batch).cpu()

    def _towards(self, batch: Batch) -> list[Tensor]:
        """Images with other labels, of the same shape: as many for each case as there are."""
        if self.others.x.shape[1:] != batch.x.shape[1:]:
            return []
        labels, images = self.others.y.tolist(), []
        for turn in range(TOWARDS):
            places = []
            for row, label in zip(batch.rows, batch.y.tolist(), strict=True):
                fit = [i for i, other in enumerate(labels) if other != label]
                places.append(fit[(row + turn * (len(fit) // TOWARDS)) % len(fit)] if fit else None)
            own = [
                batch.x[i] if place is None else self.others.x[place]
                for i, place in enumerate(places)
            ]
            images.append(torch.stack(own))
        return images
