"""Attack success after quantisation to the file's bit depth, and after JPEG."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from attacks import Model
from robust.cases.jpeg import jpeg_levels, through_jpeg
from robust.engine.cells import Cell
from robust.engine.run_store import Outcome, RunStore, SurvivalOutcome
from robust.engine.summary import Summary
from robust.records import Estimate, Survival
from robust.storage.rounding import StoredBatch, adversarial_rounding
from robust.tasks.contract import Batch, Task

QUALITY = 95
"""JPEG quality, at most 100."""


def is_measured(cell: Cell) -> bool:
    """Whether survival is measured for a cell: L-inf, a finite eps, run in full, no baseline."""
    bounded = cell.threat.norm == "Linf" and math.isfinite(cell.threat.eps)
    return cell.exact and cell.same_as is None and bounded and not cell.attack.traits.baseline


class _Clean:
    """A batch of clean images as files, which all cells on the batch are compared with."""

    def __init__(self, batch: Batch, fooled: Callable[[Tensor, Batch], Tensor]) -> None:
        self.files = StoredBatch.of(batch.cases, math.inf, batch.x.device)
        self.levels = jpeg_levels(batch.x)
        self._batch, self._fooled = batch, fooled
        self._found: dict[str, list[bool]] = {}

    @property
    def fooled(self) -> list[bool]:
        """Whether the clean images reach the goal: hardly ever."""
        return self._once("clean", lambda: self._batch.x)

    @property
    def fooled_as_jpeg(self) -> list[bool]:
        """The same after JPEG."""
        return self._once("jpeg", lambda: as_jpeg(self._batch.x))

    def _once(self, name: str, images: Callable[[], Tensor]) -> list[bool]:
        if name not in self._found:
            self._found[name] = self._fooled(images(), self._batch).tolist()
        return self._found[name]


class StorageCheck:
    """Quantises the adversarial images of a run, and asks the classifier again."""

    def __init__(
        self,
        logits: Model,
        task: Task,
        *,
        gradients: bool = True,
        random: bool = False,
        chunk: int = 64,
    ) -> None:
        """`gradients`: whether the model gives them, which choosing the rounding needs.

        `random`: whether its outputs are, so that a success may be luck. What is known of the clean
        images is kept for the batches of the last `chunk` cases.
        """
        self._logits, self._task = logits, task
        self._gradients, self._random = gradients, random
        self._chunk = chunk
        self._known: dict[tuple[int, ...], _Clean] = {}

    def observe(
        self, cell: Cell, batch: Batch, x_adv: Tensor, outcomes: Sequence[Outcome]
    ) -> list[SurvivalOutcome]:
        """One entry a case, for `survivals` to read; none for a cell that is not measured."""
        if not is_measured(cell):
            return []
        clean = self._clean(batch)
        files = replace(clean.files, eps=cell.threat.eps)
        images = files.quantise(x_adv)
        quantised = self._fooled_where(images != batch.x, images, batch, lambda: clean.fooled)
        lost = [i for i, o in enumerate(outcomes) if o.success and not quantised[i]]
        rounded = list(quantised)
        if self._gradients and lost:
            part, before = batch.take(lost), images[lost]
            again = adversarial_rounding(
                *(self._logits, files.take(lost), before, part.y, self._task.targets(part)),
                self._may_change(before, part),
                stop=not self._random,
            )
            found = self._fooled_where(again != before, again, part, lambda: [False] * len(lost))
            for i, one in zip(lost, found, strict=True):
                rounded[i] = one
        jpeg: list[bool] | list[None] = [None] * len(batch.rows)
        jpeg_clean = jpeg
        if batch.x.ndim == 4 and batch.x.shape[1] in (1, 3):
            jpeg_clean = clean.fooled_as_jpeg
            differ = jpeg_levels(x_adv) != clean.levels
            jpeg = self._fooled_where(differ, x_adv, batch, lambda: clean.fooled_as_jpeg, as_jpeg)
        return [
            SurvivalOutcome(
                row=row,
                computed=outcomes[i].success,
                quantised=quantised[i],
                adversarially_rounded=rounded[i],
                jpeg=jpeg[i],
                jpeg_clean=jpeg_clean[i],
                # At float32, so that files of one kind count as one: steps differ in last digits.
                eps_levels=float(np.float32(cell.threat.eps / case.stored.step)),
                grey_levels=case.stored.levels + 1,
            )
            for i, (row, case) in enumerate(zip(batch.rows, batch.cases, strict=True))
        ]

    def _clean(self, batch: Batch) -> _Clean:
        """What is known of the clean images of a batch, which comes again for every cell."""
        if batch.rows not in self._known:
            while sum(map(len, self._known)) + len(batch.rows) > max(self._chunk, len(batch.rows)):
                self._known.pop(next(iter(self._known)))
            self._known[batch.rows] = _Clean(batch, self._fooled)
        return self._known[batch.rows]

    def _may_change(self, x_adv: Tensor, batch: Batch) -> Tensor | None:
        """Pixels that rounding may move: of bags those of the instances that changed."""
        region, bags = self._task.region(batch), self._task.bags
        if bags is None or bags.most is None:
            return region
        changed = bags.changed_pixels(x_adv, batch.x)
        return changed if region is None else changed & region

    def _fooled_where(
        self,
        changed: Tensor,
        x: Tensor,
        batch: Batch,
        others: Callable[[], list[bool]],
        stored: Callable[[Tensor], Tensor] = lambda images: images,
    ) -> list[bool]:
        """Whether the `stored` images reach the goal: asked only where a pixel has `changed`.

        The rest is as `others` say.
        """
        places = changed.flatten(1).any(1).nonzero().flatten().tolist()
        if len(places) == len(x):
            return self._fooled(stored(x), batch).tolist()  # type: ignore[no-any-return]
        found = list(others())
        if places:
            asked = self._fooled(stored(x[places]), batch.take(places)).tolist()
            for i, one in zip(places, asked, strict=True):
                found[i] = one
        return found

    def _fooled(self, x: Tensor, batch: Batch) -> Tensor:
        with torch.no_grad():
            return self._task.success(self._logits(x), batch)


def as_jpeg(x: Tensor) -> Tensor:
    """Through JPEG at quality 95 and back, `(n, c, h, w)` with 1 or 3 channels."""
    return through_jpeg(x, QUALITY)


def survivals(
    store: RunStore, cells: Sequence[Cell], summary: Summary, gradients: bool = True
) -> tuple[Survival, ...]:
    """For each eps how many cases any attack within it fools, before and after storing.

    Without `gradients` of the model no attacker has chosen the rounding.
    An eps is left out where an attack was not run in full: what it skipped would seem robust.
    """
    partly = {cell.threat.eps for cell in cells if not cell.exact}
    found = []
    for eps in sorted({cell.threat.eps for cell in cells if is_measured(cell)} - partly):
        worst: dict[int, SurvivalOutcome] = {}
        for cell in cells:
            if is_measured(cell) and cell.threat.eps == eps:
                for one in store.survival(cell.key):
                    worst[one.row] = _either(worst[one.row], one) if one.row in worst else one
        if one_eps := _survival(eps, worst, summary, gradients):
            found.append(one_eps)
    return tuple(found)


def _either(a: SurvivalOutcome, b: SurvivalOutcome) -> SurvivalOutcome:
    """One case under two attacks: fooled where either fools it."""
    return replace(
        a,
        computed=a.computed or b.computed,
        quantised=a.quantised or b.quantised,
        adversarially_rounded=a.adversarially_rounded or b.adversarially_rounded,
        jpeg=None if a.jpeg is None or b.jpeg is None else a.jpeg or b.jpeg,
        jpeg_clean=None
        if a.jpeg_clean is None or b.jpeg_clean is None
        else a.jpeg_clean or b.jpeg_clean,
    )


def _survival(
    eps: float, worst: dict[int, SurvivalOutcome], summary: Summary, gradients: bool
) -> Survival | None:
    rows = [row for row in summary.rows.tolist() if row in worst]
    if not rows:
        return None
    every = [worst[row] for row in rows]
    by_group = summary.by_group_at(rows)

    def rate(flags: Iterable[bool | None]) -> Estimate:
        found = by_group.rate(np.array([bool(flag) for flag in flags]))
        assert found is not None  # there are rows
        return found

    levels, depths = {one.eps_levels for one in every}, {one.grey_levels for one in every}
    has_jpeg = all(one.jpeg is not None for one in every)
    return Survival(
        eps=eps,
        eps_levels=round(levels.pop(), 4) if len(levels) == 1 else None,
        file_levels=depths.pop() if len(depths) == 1 else None,
        computed=rate(one.computed for one in every),
        quantised=rate(one.quantised for one in every),
        adversarially_rounded=(
            rate(one.adversarially_rounded for one in every) if gradients else None
        ),
        jpeg=rate(one.jpeg for one in every) if has_jpeg else None,
        jpeg_clean=rate(one.jpeg_clean for one in every) if has_jpeg else None,
    )
