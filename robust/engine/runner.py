"""Runs the classifier on all cases and every attack on those that it may attack, chunk by chunk."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from robust.cases.case import Case, Cases
from robust.engine.batch import Batch
from robust.engine.cells import Cell, running_order
from robust.engine.goal import Goal
from robust.engine.mixed_precision import MixedPrecisionAttacker, make_mixed_precision_attacker
from robust.engine.run_store import Array, CleanPrediction, FeatureRow, Outcome, RunStore
from robust.engine.verified_attack import slack
from robust.errors import InputError
from robust.models.classifier import Classifier, settle_head
from robust.units import at_eps

MEASURED = 16
"""Images on which it is measured how the network runs fastest."""

_log = logging.getLogger(__name__)

Progress = Callable[[float, float, str], None]
"""Called with (work done, work in all, what is running); work is in forward passes."""


See = Callable[[Cell, Batch, Tensor, Sequence[Outcome]], list[FeatureRow]]
"""From one cell's adversarial images `(n, c, h, w)` to what detectors read of them."""


class Runner:
    """One run: a prepared classifier, cases, and the store that remembers finished chunks.

    Cases are cut into fixed chunks; a chunk's attacked cases form one batch for each image shape.
    Resuming replays the missing chunks with the very batches they would have had.
    """

    def __init__(
        self,
        classifier: Classifier,
        cases: Cases,
        store: RunStore,
        *,
        chunk: int,
        precision: str = "auto",
        skip_broken: bool = False,
        progress: Progress = lambda done, total, label: None,
    ) -> None:
        self.classifier = classifier
        self.cases = cases
        self.store = store
        self.precision = precision
        self.skip_broken = skip_broken
        self.progress = progress
        kinds = {p.dtype for p in classifier.parameters()}
        self.dtype = torch.float64 if torch.float64 in kinds else torch.float32
        self.device = classifier.mean.device
        self._attacker: MixedPrecisionAttacker | None = None
        self.like = torch.empty(0, dtype=self.dtype, device=self.device)
        rows = range(len(cases))
        self.chunks = [rows[i : i + chunk] for i in range(0, len(rows), chunk)]

    def predict_clean(self) -> None:
        """Predict every case; InputError for a broken image, NaN, or a head of the wrong size."""
        done = self.store.done()
        self.classifier.head = self.store.get("settled head") or self.classifier.head
        for number, rows in enumerate(self.chunks):
            if ("clean", number) in done:
                continue
            self.progress(rows.start, len(self.cases), "clean images")
            began = time.perf_counter()
            found = self._predict(rows)
            if self.store.get("settled head") is None:
                self.store.put("settled head", self.classifier.head)
            self.store.add_clean(number, found, time.perf_counter() - began)
        if all(clean.broken is not None for clean in self.store.clean()):
            raise InputError("not one of the images could be read; nothing is left to audit")
        self.progress(len(self.cases), len(self.cases), "clean images")

    def attack(
        self, cells: Sequence[Cell], goal: Goal, seed: int, see: See = lambda *_: []
    ) -> None:
        """Run all cells chunk by chunk, so that an image is read once for all of them.

        What `see` makes of the attacked images of a batch is stored with their outcomes.
        """
        done = self.store.done()
        cells = running_order(cells)
        total = float(sum(cell.attack.passes for cell in cells) * len(self.cases))
        work = 0.0
        left = [n for n in range(len(self.chunks)) if any((c.key, n) not in done for c in cells)]
        ahead = self._batches_ahead(left, goal)
        for number, rows in enumerate(self.chunks):
            batches = next(ahead) if number in left else []
            for cell in cells:
                self.progress(work, total, at_eps(cell.label, cell.threat.norm, cell.eps))
                work += cell.attack.passes * len(rows)
                if (cell.key, number) in done:
                    continue
                began = time.perf_counter()
                fallen = set() if cell.exact else self._fallen(cells, cell, rows)
                found: list[Outcome] = []
                seen: list[FeatureRow] = []
                for batch in batches:
                    standing = [i for i, row in enumerate(batch.rows) if row not in fallen]
                    if standing:
                        part = batch.take(standing)
                        x_adv, outcomes = self.run(cell, part, goal, seed)
                        found += outcomes
                        seen += see(cell, part, x_adv, outcomes)
                seconds = time.perf_counter() - began
                self.store.add_outcomes(cell.key, number, found, seconds, seen)
        self.progress(total, total, "done")

    def run(self, cell: Cell, batch: Batch, goal: Goal, seed: int) -> tuple[Tensor, list[Outcome]]:
        """The adversarial images of one cell on one batch, and their verified outcomes."""
        if self._attacker is None:
            self._attacker = make_mixed_precision_attacker(
                self.classifier, batch.x[:MEASURED], self.precision, self.store
            )
        return self._attacker.run(cell, batch, goal, seed)

    def load(self, rows: Sequence[int], goal: Goal) -> list[Batch]:
        """The cases among `rows` to attack: right when clean and eligible for the goal."""
        wanted = self._wanted(rows, goal)
        return self._batches(self._read(list(wanted)), wanted)

    def _batches_ahead(self, chunks: Sequence[int], goal: Goal) -> Iterator[list[Batch]]:
        """The batches of each chunk; its files are read while the one before is attacked."""
        with ThreadPoolExecutor(1, thread_name_prefix="chunks") as pool:
            waiting: list[tuple[dict[int, Array], Future[list[tuple[int, Case]]]]] = []
            for number in chunks:
                wanted = self._wanted(self.chunks[number], goal)
                waiting.append((wanted, pool.submit(self._read, list(wanted))))
                if len(waiting) > 1:
                    known, read = waiting.pop(0)
                    yield self._batches(read.result(), known)
            for known, read in waiting:
                yield self._batches(read.result(), known)

    def _wanted(self, rows: Sequence[int], goal: Goal) -> dict[int, Array]:
        """Clean logits by row, of the cases to attack."""
        found = {}
        for clean in self.store.clean(rows[0], rows[-1] + 1):
            label = self.cases.entries[clean.row].label
            if clean.logits is not None and int(np.argmax(clean.logits)) == label:
                if clean.row in rows and bool(goal.eligible(torch.tensor([label]))[0]):
                    found[clean.row] = clean.logits
        return found

    def _read(self, rows: Sequence[int]) -> list[tuple[int, Case]]:
        found: list[tuple[int, Case]] = []
        for row, case in zip(rows, self.cases.stream(rows), strict=True):
            if isinstance(case, InputError):
                raise InputError(f"an image changed while the audit ran: {case}")
            found.append((row, case))
        return found

    def _batches(
        self, cases: Sequence[tuple[int, Case]], clean: Mapping[int, Array]
    ) -> list[Batch]:
        batches = []
        for shaped in _by_shape(cases):
            before = np.stack([clean[row] for row, _ in shaped])
            batches.append(
                Batch(
                    rows=tuple(row for row, _ in shaped),
                    cases=tuple(case for _, case in shaped),
                    x=torch.stack([case.image for _, case in shaped]).to(self.device, self.dtype),
                    y=torch.tensor([case.label for _, case in shaped], device=self.device),
                    logits=torch.from_numpy(before).to(self.device),
                )
            )
        return batches

    def logits(self, x: Tensor) -> Tensor:
        """The verdict that counts: from the network as it is, at its own precision."""
        try:
            return self.classifier(x)  # type: ignore[no-any-return]
        except (InputError, torch.OutOfMemoryError):
            raise
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            line = (str(error).strip().splitlines() or [""])[0]
            raise InputError(
                f"the network fails on images of shape {tuple(x.shape[1:])}: {line[:300]}; "
                f"set channels and size in [model] to what it was trained on"
            ) from None

    def _predict(self, rows: range) -> list[CleanPrediction]:
        found: dict[int, CleanPrediction] = {}
        good: list[tuple[int, Case]] = []
        for row, case in zip(rows, self.cases.stream(rows), strict=True):
            if isinstance(case, InputError):
                if not self.skip_broken:
                    raise InputError(f"{case}, or go on without it: --skip-broken")
                # The path goes to the terminal alone: a file name may name a patient.
                _log.warning("robust: skipped: %s", case)
                found[row] = CleanPrediction(row, None, "", "could not be read")
            else:
                good.append((row, case))
        for shaped in _by_shape(good):
            x = torch.stack([case.image for _, case in shaped]).to(self.device, self.dtype)
            with torch.no_grad():
                if self.classifier.head == "auto":
                    settle_head(self.classifier, x)
                logits = self.logits(x)
            self._check(logits, [case for _, case in shaped])
            for (row, case), values in zip(shaped, logits.double().cpu().numpy(), strict=True):
                pixels = hashlib.sha256(case.image.numpy().tobytes()).hexdigest()
                found[row] = CleanPrediction(row, values, pixels)
        return [found[row] for row in rows]

    def _check(self, logits: Tensor, cases: Sequence[Case]) -> None:
        if logits.shape[1] != len(self.cases.classes):
            raise InputError(
                f"the head gives {logits.shape[1]} classes, the data have "
                f"{len(self.cases.classes)} ({', '.join(self.cases.classes)}); choose the label "
                f"column, classes or head so that both agree"
            )
        bad = ~torch.isfinite(logits).all(1)
        if bad.any():
            first = cases[int(bad.nonzero()[0])].id
            raise InputError(
                f"the classifier gives NaN or infinite logits on {int(bad.sum())} of {len(cases)} "
                f"cases, {first} first; check its weights, mean and std"
            )

    def _fallen(self, cells: Sequence[Cell], cell: Cell, rows: range) -> set[int]:
        """Rows for which some attack has found an image within this cell's ball."""
        fallen = set()
        for other in cells:
            if other.threat.norm == cell.threat.norm:
                for o in self.store.outcomes(other.key, rows.start, rows.stop):
                    moved = o.linf if cell.threat.norm == "Linf" else o.l2
                    if o.success and moved <= slack(cell.threat, 1):
                        fallen.add(o.row)
        return fallen


def _by_shape(cases: Sequence[tuple[int, Case]]) -> Iterator[list[tuple[int, Case]]]:
    """Cases of one shape together, shapes in the order of their first case."""
    shapes: dict[tuple[int, ...], list[tuple[int, Case]]] = {}
    for row, case in cases:
        shapes.setdefault(tuple(case.image.shape), []).append((row, case))
    yield from shapes.values()
