"""Eligible cases: right when clean, and such that the attacker's goal makes sense."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from robust.cases.case import Entry
from robust.engine.run_store import CleanPrediction
from robust.metrics.arrays import Mask
from robust.tasks.contract import Task

Predictions = Iterable[CleanPrediction]
"""Of all cases, or of a part of them."""
Choose = Callable[[Predictions, Sequence[Entry], Task], dict[int, CleanPrediction]]
"""Chooses cases by row."""


def right_cases(
    clean: Predictions, entries: Sequence[Entry], task: Task
) -> dict[int, CleanPrediction]:
    """By row the cases that are right when clean; `entries` are those of all cases."""
    return _select(clean, entries, task, right=True, fitting=False)


def eligible_cases(
    clean: Predictions, entries: Sequence[Entry], task: Task
) -> dict[int, CleanPrediction]:
    """By row the cases to attack: right when clean, and the goal makes sense for them."""
    return _select(clean, entries, task, right=True, fitting=True)


def misread_cases(
    clean: Predictions, entries: Sequence[Entry], task: Task
) -> dict[int, CleanPrediction]:
    """By row the cases that are wrong when clean, and for which the goal makes sense.

    None for a task that has no use for them.
    """
    if not task.attacks_misread:
        return {}
    return _select(clean, entries, task, right=False, fitting=True)


def _select(
    clean: Predictions, entries: Sequence[Entry], task: Task, *, right: bool, fitting: bool
) -> dict[int, CleanPrediction]:
    known = [(one, one.kept) for one in clean if one.kept is not None]
    if not known:
        return {}
    kept = np.stack([values for _, values in known])
    own = [entries[one.row] for one, _ in known]
    chosen: Mask = task.right(kept, own) == right
    if fitting:
        chosen &= task.eligible(kept, own)
    return {one.row: one for (one, _), good in zip(known, chosen.tolist()) if good}
