"""The attack loop: clean predictions, then every cell on every eligible case, chunk by chunk."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.repeated_passes import JUDGING_PASSES, MeanOfPasses, is_random
from robust.cases.case import Case, Cases, Entry, pixel_hash
from robust.cases.duplicates.fingerprints import fingerprint_of
from robust.engine.batch import group_by_shape, make_batches, stack_images
from robust.engine.cells import Cell, misread_cells, running_order
from robust.engine.database.clean_outputs import CleanOutputs
from robust.engine.eligible import Choose, eligible_cases, misread_cases, right_cases
from robust.engine.identity.images import ChangedImage, contents_of, with_known_pixels
from robust.engine.mixed_precision import MixedPrecisionAttacker, make_mixed_precision_attacker
from robust.engine.run_memory import HEAD, RANDOM
from robust.engine.run_store import (
    CleanPrediction,
    KnownCase,
    Observations,
    Outcome,
    RunStore,
)
from robust.engine.verified_attack import slack
from robust.errors import InputError
from robust.metrics.arrays import Array
from robust.models.adapter import Adapter
from robust.models.preparation import image_template
from robust.plan.spec import AuditSpec
from robust.progress import Progress, no_progress
from robust.tasks.contract import Batch, Task
from robust.units import at_eps

TIMING_IMAGES = 16
"""Number of images on which the gain of the faster network is measured."""
RANDOM_QUERIES = 16
"""Number of images on which it is seen whether the answers of a black box are random."""

_log = logging.getLogger(__name__)

Observe = Callable[[Cell, Batch, Tensor, Sequence[Outcome]], Observations]
"""Makes of one cell's adversarial images `(n, c, h, w)` what is stored beside their outcomes."""


@dataclass(frozen=True)
class RunOptions:
    """How a run works, which changes no number of it."""

    device: str = "auto"
    skip_broken: bool = False
    """Go on without images that cannot be read."""
    progress: Progress = no_progress
    clean_outputs: CleanOutputs | None = None
    """What audits of other findings of the same network have computed; None: there are none."""


DEFAULT_OPTIONS = RunOptions()


def observe_nothing(
    cell: Cell, batch: Batch, x_adv: Tensor, outcomes: Sequence[Outcome]
) -> Observations:
    """Store the outcomes alone."""
    return Observations()


@dataclass(frozen=True)
class _CleanChunk:
    """What a run keeps of one chunk of clean images."""

    found: list[CleanPrediction]
    known: list[KnownCase]
    fingerprints: dict[int, bytes]
    """By row, of the images that could be read."""


class Runner:
    """One run: a prepared classifier, cases, and the store that remembers finished chunks.

    Cases are cut into fixed chunks; a chunk's attacked cases form one batch for each image shape.
    Resuming replays the missing chunks with the very batches they would have had.
    """

    def __init__(
        self,
        classifier: Adapter,
        cases: Cases,
        store: RunStore,
        audit: AuditSpec,
        options: RunOptions,
        task: Task,
    ) -> None:
        self.classifier = classifier
        self.cases = cases
        self.task = task
        self.store = store
        self.skip_broken = options.skip_broken
        self.progress = options.progress
        self._precision, self._chunk, self._eot = audit.precision, audit.chunk, audit.eot
        self.template = image_template(classifier)
        """An empty tensor on the device and of the type of images."""
        self.forward_seconds: float | None = None
        """Time of the network for one image, of the fastest batch of clean predictions so far."""
        self._clean_outputs = options.clean_outputs
        self._attacker: MixedPrecisionAttacker | None = None
        self._passes = 0.0
        self._random: bool | None = None
        rows = range(len(cases))
        self.chunks = [rows[i : i + audit.chunk] for i in range(0, len(rows), audit.chunk)]
        """Rows of the cases that are attacked as one batch and stored as one unit."""

    def predict_clean(self, chunks: Collection[int] | None = None) -> None:
        """Predict every case, or those of `chunks`, that has no prediction yet.

        InputError for a broken image, NaN, or a head of the wrong size.
        """
        done = self.store.done()
        for number in self._numbers(chunks):
            if ("clean", number) in done:
                continue
            rows = self.chunks[number]
            self.progress(rows.start, len(self.cases), "clean images")
            began = time.perf_counter()
            contents = contents_of(self.cases, rows)
            read = self._predict(rows, contents)
            self.store.memo(HEAD, lambda: self.classifier.head)
            seconds = time.perf_counter() - began
            self.store.add_clean(number, read.found, seconds, read.known, read.fingerprints)
        if self.has_predicted_all() and all(one.broken is not None for one in self.store.clean()):
            raise InputError("none of the images could be read; there is nothing to audit")
        # From here on every image must be the one that was predicted.
        self.cases = with_known_pixels(self.cases, self.store.clean())
        self.progress(len(self.cases), len(self.cases), "clean images")

    def has_predicted_all(self) -> bool:
        """Whether every case has its clean prediction."""
        done = self.store.done()
        return all(("clean", number) in done for number in range(len(self.chunks)))

    def settle(self, cells: Sequence[Cell]) -> None:
        """Settle how attacks run the network, on the images that a run attacks first.

        Chunks up to the first with a case to attack are predicted for it.
        """
        self._expect(cells)
        for number, rows in enumerate(self.chunks):
            self.predict_clean([number])
            batches = self.load(rows)
            if not batches and misread_cells(cells):
                batches = self._load_misread(rows)
            for batch in batches:
                self._settled_for(batch).sizes.of(batch.x)
            if batches:
                return

    def _numbers(self, chunks: Collection[int] | None) -> Sequence[int]:
        return range(len(self.chunks)) if chunks is None else sorted(chunks)

    def attack(
        self,
        cells: Sequence[Cell],
        seed: int,
        observe: Observe = observe_nothing,
        chunks: Collection[int] | None = None,
    ) -> None:
        """Run all cells chunk by chunk, so that an image is read once for all of them.

        With `chunks` those of them alone, whose clean images have been predicted.
        What `observe` returns for the adversarial images of a batch is stored with their outcomes.
        Cases misread when clean are attacked last in each chunk, for the attacker's AUC alone.
        """
        self._expect(cells)
        done = self.store.done()
        cells = running_order(cells)
        wanted = self._numbers(chunks)
        left = [n for n in wanted if any((c.key, n) not in done for c in cells)]
        total = float(
            sum(
                cell.attack.passes * len(self.chunks[number])
                for number in wanted
                for cell in cells
                if (cell.key, number) not in done
            )
        )
        work = 0.0
        ahead = self._batches_ahead(left)
        for number in wanted:
            rows = self.chunks[number]
            batches = next(ahead) if number in left else []
            for cell in cells:
                if (cell.key, number) in done:
                    continue
                self.progress(work, total, at_eps(cell.label, cell.threat.norm, cell.eps))
                work += cell.attack.passes * len(rows)
                began = time.perf_counter()
                fallen = set() if cell.exact else self._fallen(cells, cell, rows)
                found: list[Outcome] = []
                observed = Observations()
                for batch in batches:
                    remaining = [i for i, row in enumerate(batch.rows) if row not in fallen]
                    if remaining:
                        part = batch.take(remaining)
                        x_adv, outcomes = self.run(cell, part, seed)
                        found += outcomes
                        observed += observe(cell, part, x_adv, outcomes)
                seconds = time.perf_counter() - began
                self.store.add_outcomes(cell.key, number, found, seconds, observed)
            self._attack_misread(misread_cells(cells), number, seed)
        self.progress(total, total, "attacks finished")

    def _attack_misread(self, cells: Mapping[str, Cell], number: int, seed: int) -> None:
        """Push the cases of a chunk that are misread when clean further to the wrong side."""
        done, rows = self.store.done(), self.chunks[number]
        left = {key: cell for key, cell in cells.items() if (key, number) not in done}
        if not left:
            return
        batches = self._load_misread(rows)
        for key, cell in left.items():
            began = time.perf_counter()
            found = [o for batch in batches for o in self.run(cell, batch, seed)[1]]
            self.store.add_outcomes(key, number, found, time.perf_counter() - began)

    def _load_misread(self, rows: Sequence[int]) -> list[Batch]:
        part = self.store.clean(rows[0], rows[-1] + 1)
        wrong = misread_cases(part, self.cases.entries, self.task)
        clean = {row: one.kept for row, one in wrong.items() if one.kept is not None}
        return make_batches(self._read(list(clean)), clean, self.template, self.task)

    def run(self, cell: Cell, batch: Batch, seed: int) -> tuple[Tensor, list[Outcome]]:
        """The adversarial images of one cell on one batch, and their verified outcomes."""
        self.classifier.origin.asks_for(at_eps(cell.label, cell.threat.norm, cell.eps))
        return self._settled_for(batch).run(cell, batch, self.task, seed)

    def _expect(self, cells: Sequence[Cell]) -> None:
        """Note how often the whole run will differentiate the network, at most."""
        passes = sum(cell.attack.passes for cell in running_order(cells))
        self._passes = float(passes) * len(self.cases)

    def _settled_for(self, batch: Batch) -> MixedPrecisionAttacker:
        """How attacks run the network: as the run has settled it, else settled on this batch."""
        if self._attacker is None:
            self._attacker = make_mixed_precision_attacker(
                *(self.classifier, batch.x[:TIMING_IMAGES], self._precision, self.store),
                self._chunk,
                passes=self._passes,
                means=(self._eot or 1) if self._is_random(batch.x) else 0,
            )
            self._attacker.classifier = self.logits
        return self._attacker

    def load(self, rows: Sequence[int], *, every: bool = False) -> list[Batch]:
        """The eligible cases among `rows`, a batch for each image shape.

        With `every` all that are right when clean, whether or not the goal makes sense for them.
        """
        return self._make_batches(self._eligible(rows, right_cases if every else eligible_cases))

    def _batches_ahead(self, chunks: Sequence[int]) -> Iterator[list[Batch]]:
        """The batches of each chunk, read and moved to the device while the one before runs."""
        with ThreadPoolExecutor(1, thread_name_prefix="chunks") as pool:
            waiting: list[Future[list[Batch]]] = []
            for number in chunks:
                wanted = self._eligible(self.chunks[number])
                waiting.append(pool.submit(self._make_batches, wanted))
                if len(waiting) > 1:
                    yield waiting.pop(0).result()
            for batches in waiting:
                yield batches.result()

    def _make_batches(self, clean: Mapping[int, Array]) -> list[Batch]:
        """A batch for each image shape, of the cases by what is kept of each clean prediction."""
        return make_batches(self._read(list(clean)), clean, self.template, self.task)

    def _eligible(self, rows: Sequence[int], choose: Choose = eligible_cases) -> dict[int, Array]:
        """By row what is kept of the clean predictions of the cases to attack."""
        wanted = set(rows)
        part = (one for one in self.store.clean(rows[0], rows[-1] + 1) if one.row in wanted)
        found = choose(part, self.cases.entries, self.task)
        return {row: one.kept for row, one in found.items() if one.kept is not None}

    def _read(self, rows: Sequence[int]) -> list[tuple[int, Case]]:
        found: list[tuple[int, Case]] = []
        for row, case in zip(rows, self.cases.stream(rows), strict=True):
            if isinstance(case, ChangedImage):
                raise case
            if isinstance(case, InputError):
                raise InputError(f"an image changed while the audit ran: {case}")
            found.append((row, case))
        return found

    def logits(self, x: Tensor) -> Tensor:
        """The logits that every result is based on: at the classifier's own precision.

        Of a network whose outputs are random, the mean of several passes: one pass would count
        luck. InputError where the network cannot take such images.
        """
        if self._is_random(x):
            return MeanOfPasses(self.classifier, JUDGING_PASSES, seed=0)(x)
        return self.classifier(x)  # type: ignore[no-any-return]

    def _is_random(self, x: Tensor) -> bool:
        if self._random is None:
            few = x[:RANDOM_QUERIES] if self.classifier.origin.is_black_box else x
            self._random = self.store.memo(RANDOM, lambda: is_random(self.classifier, few))
        return self._random

    def _clean_logits(self, x: Tensor, cases: Sequence[Case]) -> Tensor:
        """As `logits`; outputs that audits of other findings have computed are taken from there."""
        shared = self._clean_outputs
        if shared is None or self._is_random(x):
            return self.logits(x)
        hashes = [pixel_hash(case.image) for case in cases]
        outputs = shared.get(hashes, lambda: self.classifier.outputs(x))
        return self.classifier.from_outputs(outputs.to(x.device))

    def _predict(self, rows: range, contents: Mapping[int, str]) -> _CleanChunk:
        """Read and predict one chunk; `contents` are the digests of its files by row."""
        found: dict[int, CleanPrediction] = {}
        good: list[tuple[int, Case]] = []
        known: list[KnownCase] = []
        for row, case in zip(rows, self.cases.stream(rows), strict=True):
            if isinstance(case, InputError):
                if not self.skip_broken:
                    raise InputError(f"{case}, or go on without it: --skip-broken")
                # The path goes to the terminal alone: a file name may name a patient.
                _log.warning("robust: skipped: %s", case)
                found[row] = CleanPrediction(row, None, "", "could not be read")
                known.append(_known(row, self.cases.entries[row], None, contents[row]))
            else:
                good.append((row, case))
                known.append(_known(row, self.cases.entries[row], case.image, contents[row]))
        for shaped in group_by_shape(good):
            x = stack_images(shaped, self.template)
            began = time.perf_counter()
            with torch.no_grad():
                logits = self._clean_logits(x, [case for _, case in shaped])
            if x.is_cuda:
                torch.cuda.synchronize(x.device)
            self._note_speed((time.perf_counter() - began) / len(x))
            own = [case for _, case in shaped]
            self.task.check(logits, own)
            for (row, case), kept in zip(shaped, self.task.keep(logits, own), strict=True):
                found[row] = CleanPrediction(row, kept, pixel_hash(case.image))
        fingerprints = {row: fingerprint_of(case.image) for row, case in good}
        return _CleanChunk([found[row] for row in rows], known, fingerprints)

    def _note_speed(self, seconds: float) -> None:
        known = self.forward_seconds
        self.forward_seconds = seconds if known is None else min(known, seconds)

    def _fallen(self, cells: Sequence[Cell], cell: Cell, rows: range) -> set[int]:
        """Rows for which some attack has succeeded within this cell's eps."""
        fallen = set()
        for other in cells:
            if other.threat.norm == cell.threat.norm:
                for o in self.store.outcomes(other.key, rows.start, rows.stop):
                    if o.success and o.distance(cell.threat.norm) <= slack(cell.threat, 1):
                        fallen.add(o.row)
        return fallen


def _known(row: int, entry: Entry, image: Tensor | None, content: str) -> KnownCase:
    grey = image is not None and len(image) == 3 and bool((image == image[:1]).all())
    return KnownCase(
        row=row,
        id=entry.id,
        label=entry.label,
        group=entry.group,
        pixel_values=0 if image is None else image.numel(),
        grey_in_colour=grey,
        brightest=0.0 if image is None else float(image.max()),
        metadata=entry.metadata,
        content=content,
    )
