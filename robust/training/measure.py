"""Scores of a trained classifier on a split, as in an audit without attack."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from robust.cases import Cases
from robust.errors import InputError
from robust.metrics.by_group import ByGroup
from robust.metrics.scores import Condition, Scorer
from robust.models import Classifier, full_precision, prepare
from robust.records import Scores

BATCH = 64


@dataclass(frozen=True)
class SplitScores:
    """The scores on one split, with 95 % intervals by group."""

    scores: Scores
    confusion: tuple[tuple[int, ...], ...]
    """Cases by label (down) and prediction (across)."""


def measure(classifier: Classifier, cases: Cases, device: torch.device) -> SplitScores:
    """Predict every case at float32; InputError for the first that cannot be read."""
    with full_precision():
        logits = predict(prepare(classifier, device), cases)
    labels = np.array([entry.label for entry in cases.entries])
    groups = [entry.group for entry in cases.entries]
    scorer = Scorer(ByGroup(groups), labels, cases.classes, cases.findings)
    condition = Condition.clean(logits.double().numpy())
    (scores,) = scorer.score(condition, [np.ones(len(labels), bool)])
    return SplitScores(scores, scorer.confusion(condition))


@torch.no_grad()
def predict(classifier: Classifier, cases: Cases) -> Tensor:
    """Logits `(n, k)` of a prepared classifier, on the CPU, in the order of the cases."""
    device = classifier.mean.device
    return torch.cat([classifier(x.to(device)).float().cpu() for x in _batches(cases)])


def _batches(cases: Cases) -> Iterator[Tensor]:
    """Images `(n, c, h, w)` of one shape, in order."""
    waiting: list[Tensor] = []
    for case in cases.stream(range(len(cases))):
        if isinstance(case, InputError):
            raise case
        if waiting and (len(waiting) == BATCH or waiting[0].shape != case.image.shape):
            yield torch.stack(waiting)
            waiting = []
        waiting.append(case.image)
    if waiting:
        yield torch.stack(waiting)
