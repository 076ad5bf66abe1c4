"""Mixed precision: attacks search in low precision, float32 confirms and attacks the rest again."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from attacks import early_stopping
from robust.engine.batch import Batch
from robust.engine.cells import Cell
from robust.engine.goal import Goal
from robust.engine.run_memory import ACCELERATION, CASES_AT_ONCE
from robust.engine.run_store import Outcome, RunStore
from robust.engine.verified_attack import AttackTask, OutOfMemory, attack_batch
from robust.models.acceleration.accelerate import FastModels, make_fast_models
from robust.models.acceleration.memory import max_batch
from robust.models.classifier import Classifier

MIN_PASSES = 5
"""Fewest passes of an attack for which a first run in low precision saves time."""


@dataclass
class MixedPrecisionAttacker:
    """Runs one cell on one batch, in the precision that is fastest on this machine.

    In either precision the classifier itself, at float32, predicts the images and their distance is
    measured. A case counts as robust only after a float32 run has failed on it.
    """

    classifier: Classifier
    models: FastModels
    max_batch: int = 1 << 30
    """Most cases in one batch; halved whenever memory runs out."""

    def run(self, cell: Cell, batch: Batch, goal: Goal, seed: int) -> tuple[Tensor, list[Outcome]]:
        """The adversarial images `(n, c, h, w)` and their verified outcomes.

        OutOfMemory, an InputError, where even a single case is too much.
        """
        if len(batch.rows) > self.max_batch:
            halves = [batch.take(part) for part in _halves(len(batch.rows))]
            parts = [self.run(cell, half, goal, seed) for half in halves]
            return torch.cat([x for x, _ in parts]), [o for _, found in parts for o in found]
        try:
            return self._run(cell, batch, goal, seed)
        except OutOfMemory:
            if len(batch.rows) == 1:
                raise
        if batch.x.is_cuda:
            torch.cuda.empty_cache()
        self.max_batch = len(batch.rows) // 2
        return self.run(cell, batch, goal, seed)

    def _run(self, cell: Cell, batch: Batch, goal: Goal, seed: int) -> tuple[Tensor, list[Outcome]]:
        low, exact = self.models.low_precision, self.models.float32
        attack = cell.attack if cell.exact else early_stopping(cell.attack)
        # The form that stops early draws what the attack itself draws.
        task = AttackTask(attack, cell.attack.stream_key, cell.threat, goal, seed)
        if low is None or attack.minimum_norm or attack.passes < MIN_PASSES:
            return attack_batch(self.classifier, task, batch, exact)
        x_adv, outcomes = attack_batch(self.classifier, task, batch, low)
        left = [i for i, outcome in enumerate(outcomes) if not outcome.success]
        if left:
            again, found = attack_batch(self.classifier, task, batch.take(left), exact)
            x_adv = x_adv.clone()
            x_adv[torch.tensor(left, device=x_adv.device)] = again
            for i, new in zip(left, found, strict=True):
                both = outcomes[i].passes + new.passes
                outcomes[i] = dataclasses.replace(new, passes=both)
        return x_adv, outcomes


def make_mixed_precision_attacker(
    classifier: Classifier, x: Tensor, precision: str, store: RunStore
) -> MixedPrecisionAttacker:
    """Choose precision and batch size by timing on `x (n, c, h, w)`, or as the store remembers."""
    models = make_fast_models(classifier, x, precision, store.get(ACCELERATION))
    store.memo(ACCELERATION, lambda: models.acceleration)
    batch_limit = store.memo(CASES_AT_ONCE, lambda: max_batch(models.float32, x))
    return MixedPrecisionAttacker(classifier, models, batch_limit)


def _halves(count: int) -> list[range]:
    return [range(count // 2), range(count // 2, count)]
