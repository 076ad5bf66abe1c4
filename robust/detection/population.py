"""The cases that detectors are evaluated on: correct when clean, eligible, with their groups."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from robust.cases.case import Cases, sample_rows
from robust.engine.eligible import eligible_cases
from robust.engine.run_store import CleanPrediction
from robust.errors import InputError
from robust.metrics.arrays import Places
from robust.metrics.groups import FOLDS, group_codes, joined_groups
from robust.tasks.contract import Task


@dataclass(frozen=True)
class Population:
    """The evaluated cases; all arrays and all places in a `FeatureSet` follow their order."""

    rows: tuple[int, ...]
    """Their places in `Cases`, ascending."""
    labels: npt.NDArray[np.int64]
    """`(n,)`, the true labels."""
    groups: npt.NDArray[np.int64]
    """`(n,)`, equal for images of one patient and for copies and near copies of an image."""
    correct_cases: int
    """How many cases are eligible and correct when clean, evaluated or not."""
    joined_pairs: int = 0
    """Pairs of cases of two groups that were joined, since they are near copies to the network."""

    def joined(self, pairs: Sequence[tuple[int, int]]) -> Population:
        """With the groups of each pair of rows joined; InputError where too few are left."""
        if not pairs:
            return self
        place = {row: i for i, row in enumerate(self.rows)}
        groups = joined_groups(
            [str(group) for group in self.groups], [(place[a], place[b]) for a, b in pairs]
        )
        _check_groups(groups)
        return dataclasses.replace(self, groups=groups, joined_pairs=len(pairs))


def choose_population(
    cases: Cases, clean: Iterable[CleanPrediction], task: Task, limit: int, seed: int
) -> Population:
    """At most `limit` cases, drawn by seed; InputError where there are too few groups."""
    entries = cases.entries
    correct = eligible_cases(clean, entries, task)
    if not correct:
        raise InputError("no case is correct without attack; detectors cannot be evaluated")
    rows = sample_rows(entries, sorted(correct), limit, seed)
    groups = group_codes([entries[row].group for row in rows])
    _check_groups(groups)
    return Population(
        rows=tuple(rows),
        labels=np.array([entries[row].label for row in rows], np.int64),
        groups=groups,
        correct_cases=len(correct),
    )


def _check_groups(groups: Places) -> None:
    count = len(np.unique(groups))
    if count < 2 * FOLDS:
        raise InputError(
            f"detectors need {2 * FOLDS} groups or more that are correct without attack, there are "
            f"{count}; audit more cases, or remove [[detectors]]"
        )
