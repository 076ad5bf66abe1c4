"""What two runs of a task are compared by: scores, equal predictions, the most damaging image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np

from robust.metrics.arrays import Array, Mask, Places
from robust.metrics.outlines.kept import KeptScores
from robust.metrics.outlines.scorer import OutlineStandard
from robust.metrics.outlines.worst import damage, worst_by_structure
from robust.metrics.scores import Condition, margins
from robust.report.text.format import short

Both = tuple[Condition, Condition]
"""The cases of two runs under one condition, OLD first."""


@dataclass(frozen=True)
class ComparedScore:
    """A score as values of the cases, OLD first."""

    name: str
    values: Sequence[Array | Mask]
    """Each `(n,)`, in [0, 1]."""
    masks: Sequence[Mask]
    """The cases that count, `(n,)` each."""
    kind: Literal["share", "mean", "median"] = "share"
    """`share` of values that are 0 or 1; `mean` of others; or `median`, whose difference is the
    median of the cases' own differences."""


class Judge(Protocol):
    """What a task makes of the outcomes of the same cases in two runs."""

    def damage(self, kept: Array) -> Array:
        """How far an attack has come `(n,)`, from what is kept `(n, a)`; larger is worse."""

    def by_part(self, worst: Condition, found: Sequence[tuple[Array, Mask]]) -> Condition:
        """The worst case, each part of a case at the image that hurts it most."""

    def differ(self, a: Array, b: Array) -> Mask:
        """Which cases have another prediction `(n,)`."""

    def scores(self, sides: Both) -> Iterator[ComparedScore]:
        """What is compared under one condition."""


@dataclass(frozen=True)
class ClassJudge:
    """Classification: correct readings."""

    labels: Places
    findings: Places

    def damage(self, kept: Array) -> Array:
        """The margin of the best wrong class."""
        return margins(kept, self.labels)

    def by_part(self, worst: Condition, found: Sequence[tuple[Array, Mask]]) -> Condition:
        """A case has no parts."""
        return worst

    def differ(self, a: Array, b: Array) -> Mask:
        """Those read as another class."""
        other: Mask = a.argmax(1) != b.argmax(1)
        return other

    def scores(self, sides: Both) -> Iterator[ComparedScore]:
        """Robust accuracy, accuracy, and with findings sensitivity and specificity."""
        with_finding = np.isin(self.labels, self.findings)
        defined = np.full(len(self.labels), bool(len(self.findings)))
        predicted = [side.kept.argmax(1) for side in sides]
        correct = [prediction == self.labels for prediction in predicted]
        read_as_finding = [np.isin(prediction, self.findings) for prediction in predicted]
        counted = [side.countable for side in sides]
        yield ComparedScore("robust accuracy", correct, [side.evaluated for side in sides])
        yield ComparedScore("accuracy", correct, counted)
        found = [t & with_finding & defined for t in counted]
        yield ComparedScore("sensitivity", read_as_finding, found)
        free = [t & ~with_finding & defined for t in counted]
        yield ComparedScore("specificity", [~c for c in read_as_finding], free)


@dataclass(frozen=True)
class OutlineJudge:
    """Segmentation: cases outlined well, and Dice."""

    structures: tuple[str, ...]
    standard: OutlineStandard
    clean: tuple[Array, Array]
    """What is kept of the cases without attack, OLD first."""

    def damage(self, kept: Array) -> Array:
        """1 less the Dice of the case."""
        return damage(kept)

    def by_part(self, worst: Condition, found: Sequence[tuple[Array, Mask]]) -> Condition:
        """Each structure in the image that hurts it most."""
        return replace(worst, kept=worst_by_structure(worst.kept, found))

    def differ(self, a: Array, b: Array) -> Mask:
        """Those whose scores are not the same to nine digits."""
        same = np.isclose(a, b, rtol=1e-9, atol=1e-9, equal_nan=True)
        return np.asarray(~same.all(1))

    def scores(self, sides: Both) -> Iterator[ComparedScore]:
        """The shares outlined well, the mean Dice, and that of each of several structures."""
        kept = [KeptScores(side.kept) for side in sides]
        before = [KeptScores(clean).case_dice for clean in self.clean]
        well = [
            self.standard.met(one.case_dice, was) for one, was in zip(kept, before, strict=True)
        ]
        counted = [side.countable for side in sides]
        yield ComparedScore("still outlined well", well, [side.evaluated for side in sides])
        yield ComparedScore("outlined well", well, counted)
        case_dice = [one.case_dice for one in kept]
        yield ComparedScore("mean Dice, in %", case_dice, counted, "mean")
        # The interval of a mean allows for patients unlike all others, and is wide; this is not.
        yield ComparedScore("median Dice, in %", case_dice, counted, "median")
        if len(self.structures) > 1:
            for place, name in enumerate(self.structures):
                dice = [one.dice[:, place] for one in kept]
                known = [mask & ~np.isnan(d) for mask, d in zip(counted, dice, strict=True)]
                yield ComparedScore(f"Dice of {short(name)}, in %", dice, known, "mean")


CLEAN_SCORES = ("accuracy", "outlined well")
"""Scores of clean images that a tolerance applies to."""
ROBUST_SCORES = ("robust accuracy", "still outlined well")
"""The same of the worst case."""
