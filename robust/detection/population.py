"""The cases that detectors are evaluated on: correct when clean, eligible, with their groups."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from robust.cases.case import Cases, spread
from robust.engine.goal import Goal, eligible_cases
from robust.engine.run_store import CleanPrediction
from robust.errors import InputError
from robust.metrics.groups import FOLDS, merge_duplicates


@dataclass(frozen=True)
class Population:
    """The evaluated cases; all arrays and all places in a `FeatureSet` follow their order."""

    rows: tuple[int, ...]
    """Their places in `Cases`, ascending."""
    labels: npt.NDArray[np.int64]
    """`(n,)`, the true labels."""
    groups: npt.NDArray[np.int64]
    """`(n,)`, equal for images of one patient and for copies of an image."""
    correct_cases: int
    """How many cases are eligible and correct when clean, evaluated or not."""
    copies: int
    """Images that are copies of another evaluated one."""


def choose_population(
    cases: Cases, clean: Iterable[CleanPrediction], goal: Goal, limit: int
) -> Population:
    """At most `limit` cases, spread evenly; InputError where there are too few groups."""
    entries = cases.entries
    correct = eligible_cases(clean, entries, goal)
    if not correct:
        raise InputError("no case is correct without attack; detectors cannot be evaluated")
    rows = spread(sorted(correct), limit)
    pixels = [correct[row].pixels for row in rows]
    groups = merge_duplicates([entries[row].group for row in rows], pixels)
    count = len(set(groups.tolist()))
    if count < 2 * FOLDS:
        raise InputError(
            f"detectors need {2 * FOLDS} groups or more that are correct without attack, there are "
            f"{count}; audit more cases, or remove [[detectors]]"
        )
    return Population(
        rows=tuple(rows),
        labels=np.array([entries[row].label for row in rows], np.int64),
        groups=groups,
        correct_cases=len(correct),
        copies=len(pixels) - len(set(pixels)),
    )
