"""Scores of a trained network on a split, as in an audit without attack."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from robust.cases import Case, Cases
from robust.errors import InputError
from robust.metrics.arrays import Array
from robust.metrics.by_group import ByGroup
from robust.metrics.scores import Condition
from robust.models import full_precision, prepare
from robust.models.adapter import Adapter
from robust.plan.spec import Plan
from robust.records import Scores
from robust.tasks.contract import Task
from robust.tasks.make import task_of

BATCH = 64
PIXELS = 1 << 22
"""Of a batch at most: a network's features take hundreds of bytes for each."""


@dataclass(frozen=True)
class SplitScores:
    """The scores on one split, with 95 % intervals by group."""

    scores: Scores
    confusion: tuple[tuple[int, ...], ...]
    """Cases by label (down) and prediction (across); empty where labels are masks."""


def measure(adapter: Adapter, cases: Cases, device: torch.device) -> SplitScores:
    """Predict every case at float32; InputError for the first that cannot be read."""
    task = task_of(Plan(), cases)
    with full_precision():
        kept = predict(prepare(adapter, device), cases, task)
    condition = Condition.clean(kept)
    groups = ByGroup([entry.group for entry in cases.entries])
    scorer = task.scorer(groups, cases, condition)
    (scores,) = scorer.score(condition, [np.ones(len(kept), bool)])
    return SplitScores(scores, scorer.confusion(condition))


@torch.no_grad()
def predict(adapter: Adapter, cases: Cases, task: Task) -> Array:
    """What a task keeps of the predictions of a prepared adapter, `(n, a)` in the cases' order."""
    device = adapter.mean.device
    kept = []
    for batch in _batches(cases):
        x = torch.stack([case.image for case in batch]).to(device)
        kept.append(task.keep(adapter(x).float().cpu(), batch))
    return np.concatenate(kept)


def _batches(cases: Cases) -> Iterator[list[Case]]:
    """Cases of one shape, in order."""
    waiting: list[Case] = []
    for case in cases.stream(range(len(cases))):
        if isinstance(case, InputError):
            raise case
        if waiting and (_is_full(waiting) or waiting[0].image.shape != case.image.shape):
            yield waiting
            waiting = []
        waiting.append(case)
    if waiting:
        yield waiting


def _is_full(batch: list[Case]) -> bool:
    return len(batch) == BATCH or (len(batch) + 1) * batch[0].image[0].numel() > PIXELS
