"""Mixed precision: attacks search in low precision, float32 confirms and attacks the rest again."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from attacks import AttackFunction, Model, Streams, ThreatModel, early_stopping
from attacks.minimum_norm.geometry import line_search
from attacks.repeated_passes import MeanOfPasses, climbing_means
from attacks.threat import per_case
from robust.engine.cells import Cell
from robust.engine.run_memory import ACCELERATION, CASES_AT_ONCE, CasesAtOnce
from robust.engine.run_store import Outcome, RunStore
from robust.engine.verified_attack import AttackSetup, attack_batch
from robust.models.acceleration.accelerate import FastModels, make_fast_models
from robust.models.acceleration.memory import BatchSize, OutOfMemory, find_batch_size
from robust.models.adapter import Adapter
from robust.tasks.contract import Batch, Task

MIN_PASSES = 5
"""Fewest passes of an attack for which a first run in low precision saves time."""

REACHES = (1.01, 1.03, 1.1)
"""How far along its line an image of a minimum-norm attack in low precision is moved, where the
classifier at float32 reads it correctly, in units of its distance."""
FARTHER = (1.05, 1.2, 1.5, 2.0, 3.0)
"""The same for a network with random outputs: what lies nearer was misread by luck."""
EXTENDING_STEPS = 6
"""Bisections between the image that does not fool the classifier and the one that does."""
COARSE = 0.1
"""Error of the logits in low precision, in units of the margin of the clean image, from which a
minimum-norm attack runs at float32: the boundary lies about so much nearer or farther."""
EXTENDING = 2 + EXTENDING_STEPS
"""Forward passes of both together, beside one for each reach."""

_log = logging.getLogger(__name__)


class BatchSizes:
    """How many images of each shape go through the network at once, kept with the run.

    A run that goes on, here or on another machine, repeats them.
    """

    def __init__(
        self,
        model: Callable[[Tensor], Tensor] | None = None,
        most: int = 1 << 30,
        store: RunStore | None = None,
    ) -> None:
        """Without a `model` nothing is known, and `most` is tried first."""
        self._model, self._most, self._store = model, most, store
        known = store.get(CASES_AT_ONCE) if store is not None else None
        self._by_shape = dict(known.by_shape) if known is not None else {}

    def of(self, x: Tensor) -> BatchSize:
        """For images of the shape of `x (n, c, h, w)`."""
        shape = _shape(x)
        if shape not in self._by_shape:
            unknown = BatchSize(self._most, self._most)
            found = find_batch_size(self._model, x, self._most) if self._model else unknown
            self._set(shape, found)
        return self._by_shape[shape]

    def halve(self, x: Tensor) -> None:
        """After memory ran out on a batch `x`, or on as many of its images as were allowed."""
        self._set(_shape(x), self.of(x).halved(len(x)))

    def _set(self, shape: str, size: BatchSize) -> None:
        self._by_shape[shape] = size
        if size.is_short:
            _log.warning(
                "robust: memory is short: %d in place of %d images of %s go through the network "
                "at once; the report says so",
                *(size.used, size.settled, shape),
            )
        if self._store is not None:
            self._store.put(CASES_AT_ONCE, CasesAtOnce(dict(self._by_shape)))


@dataclass
class MixedPrecisionAttacker:
    """Runs one cell on one batch, in the precision that was settled for the run.

    In either precision the classifier itself, at float32, predicts the images and their distance is
    measured. A case counts as robust only after a float32 run has failed on it.
    """

    classifier: Callable[[Tensor], Tensor]
    """Predicts the adversarial images, at float32."""
    models: FastModels
    sizes: BatchSizes = field(default_factory=BatchSizes)
    passes: int = 0
    """Passes in the mean that attacks climb, where outputs are random; 0: they are not."""

    def run(self, cell: Cell, batch: Batch, task: Task, seed: int) -> tuple[Tensor, list[Outcome]]:
        """The adversarial images `(n, c, h, w)` and their verified outcomes.

        Where memory runs out, all of the batch runs again in halves, as it will when the run is
        resumed. OutOfMemory, an InputError, where even a single case is too much.
        """
        while True:
            allowed = self.sizes.of(batch.x)
            size = allowed.used
            self.models.fill_up_to(size if allowed.is_short else None)
            parts = [batch.take(rows) for rows in _split(range(len(batch.rows)), size)]
            try:
                done = [self._run(cell, part, task, seed) for part in parts]
                return torch.cat([x for x, _ in done]), [o for _, found in done for o in found]
            except OutOfMemory:
                if min(size, len(batch.rows)) == 1:
                    raise
            self.models.release()
            if batch.x.is_cuda:
                torch.cuda.empty_cache()
            self.sizes.halve(batch.x)

    def _run(self, cell: Cell, batch: Batch, task: Task, seed: int) -> tuple[Tensor, list[Outcome]]:
        low, exact = self.models.low_precision, self.models.float32
        if self.passes:
            return self._run_random(cell, batch, task, seed)
        attack = cell.attack if cell.exact else early_stopping(cell.attack)
        # The form that stops early draws what the attack itself draws.
        setup = AttackSetup(
            attack,
            cell.attack.stream_key,
            cell.threat,
            task,
            seed,
            stop=not cell.exact,
            keeps_still=cell.attack.traits.keeps_still,
        )
        # Pixels lie at every distance from the boundary, some nearer than low precision can tell.
        too_fine = attack.minimum_norm and not task.class_count
        if low is None or attack.passes < MIN_PASSES or too_fine:
            return attack_batch(self.classifier, setup, batch, exact)
        coarse = [False] * len(batch.rows)
        if attack.minimum_norm:
            coarse = _too_coarse(low, batch)
            x_adv, outcomes = self._extended(setup, batch, low, REACHES)
        else:
            x_adv, outcomes = attack_batch(self.classifier, setup, batch, low)
        left = [i for i, outcome in enumerate(outcomes) if not outcome.success or coarse[i]]
        if left:
            again, found = attack_batch(self.classifier, setup, batch.take(left), exact)
            better: list[int] = []
            for place, i in enumerate(left):
                first, new = outcomes[i], found[place]
                both = first.passes + new.passes
                norm = cell.threat.norm
                if first.success and (not new.success or first.distance(norm) < new.distance(norm)):
                    new = first
                else:
                    better.append(place)
                outcomes[i] = dataclasses.replace(new, passes=both)
            x_adv = x_adv.clone()
            x_adv[[left[place] for place in better]] = again[better]
        return x_adv, outcomes

    def _run_random(
        self, cell: Cell, batch: Batch, task: Task, seed: int
    ) -> tuple[Tensor, list[Outcome]]:
        """On a network with random outputs: at float32, and in full, as a success may be luck."""
        attack: AttackFunction = cell.attack
        if self.passes > 1:
            attack = climbing_means(cell.attack, self.passes)
        setup = AttackSetup(attack, cell.attack.stream_key, cell.threat, task, seed, random=True)
        if cell.attack.minimum_norm:
            return self._extended(setup, batch, self.models.float32, FARTHER)
        return attack_batch(self.classifier, setup, batch, self.models.float32)

    def _extended(
        self, setup: AttackSetup, batch: Batch, quick: Model, reaches: Sequence[float]
    ) -> tuple[Tensor, list[Outcome]]:
        """A minimum-norm attack whose images are brought over the classifier's own boundary."""
        extended = _Extended(setup.attack, self.classifier, setup.task, batch, reaches)
        setup = dataclasses.replace(setup, attack=extended)
        x_adv, outcomes = attack_batch(self.classifier, setup, batch, quick)
        more = EXTENDING + len(reaches)
        return x_adv, [dataclasses.replace(o, passes=o.passes + more) for o in outcomes]


@torch.no_grad()
def _too_coarse(low: Model, batch: Batch) -> list[bool]:
    """The cases so near to the boundary that the errors of low precision would move it visibly."""
    error = (low(batch.x) - batch.kept).abs().amax(1)
    first, second = batch.kept.topk(2, 1).values.T
    return (error > COARSE * (first - second)).tolist()  # type: ignore[no-any-return]


@dataclass(frozen=True)
class _Extended:
    """A minimum-norm attack whose images are brought over the classifier's own boundary.

    They lie at the boundary of a network in low precision, or of a mean of few passes. Where the
    classifier reads them correctly, the nearest image farther along the same line that it misreads
    takes their place.
    """

    attack: AttackFunction
    exact: Model
    task: Task
    batch: Batch
    reaches: Sequence[float]

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel,
        streams: Streams,
        target: Tensor | None = None,
    ) -> Tensor:
        """The images of the attack, or those behind them on the line from the clean image."""
        x_adv = self.attack(model, x, y, threat, streams, target)

        def success(z: Tensor) -> Tensor:
            return self.task.success(self.exact(z), self.batch)

        with torch.no_grad():
            inside = success(x_adv)
            best = x_adv
            for reach in self.reaches:
                farther = (x + reach * (x_adv - x)).clamp(0, 1)
                new = ~inside & success(farther)
                best = torch.where(per_case(new, x), farther, best)
                inside |= new
        # Between the attack's image, which does not do, and the farther one, which does.
        return line_search(x_adv, best, success, EXTENDING_STEPS)


def make_mixed_precision_attacker(
    classifier: Adapter,
    x: Tensor,
    precision: str,
    store: RunStore,
    most: int = 1 << 30,
    *,
    passes: float = 0,
    means: int = 0,
) -> MixedPrecisionAttacker:
    """Settle precision and batch size for images like `x (n, c, h, w)`, or take what is stored.

    `most` is the largest number of cases in one batch, `passes` how often the whole run will
    differentiate the network on an image, `means` the passes in each mean that attacks climb (0:
    its outputs are not random).
    """
    models = make_fast_models(
        classifier, x, precision, store.get(ACCELERATION), passes=passes, rows=most
    )
    store.memo(ACCELERATION, lambda: models.acceleration)
    # A black box takes no memory here.
    measured = None if classifier.origin.is_black_box else models.measured
    if measured is not None and means > 1:
        measured = MeanOfPasses(measured, means)
    return MixedPrecisionAttacker(classifier, models, BatchSizes(measured, most, store), means)


def cases_at_once(store: RunStore) -> int | None:
    """The fewest images that went through the network at once; None where nothing was attacked."""
    known = store.get(CASES_AT_ONCE)
    return None if known is None else min((b.used for b in known.by_shape.values()), default=None)


def _shape(x: Tensor) -> str:
    """The shape of each image: `3 x 224 x 224`."""
    return " x ".join(map(str, x.shape[1:]))


def _split(rows: range, most: int) -> list[range]:
    """Halves of halves, each of at most `most`."""
    if len(rows) <= most:
        return [rows]
    half = len(rows) // 2
    return _split(rows[:half], most) + _split(rows[half:], most)
