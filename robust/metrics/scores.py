"""Scores of one population of cases: rates, AUC and distances, with intervals by group."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from robust.metrics.arrays import Array, Mask
from robust.metrics.balanced_error import balanced_error
from robust.metrics.by_group import ByGroup
from robust.metrics.calibration import Confidences, brier_score, calibration_error, chance_error
from robust.records import Estimate, Scores
from robust.records.verdicts import too_many_failed
from robust.units import NORMS, distance_field

CONFUSION_CLASSES = 20
"""Largest number of classes with a confusion matrix."""


@dataclass(frozen=True)
class Condition:
    """All cases under one condition; a case that was not attacked is as without attack.

    Arrays are `(n,)`, one entry per case, but for what is kept.
    """

    kept: Array
    """What the task keeps of each prediction `(n, a)`, of a classifier the logits; those of the
    clean image where the case was not attacked or not evaluated."""
    attacked: Mask
    """Whether the attack was run on the case."""
    failed: Mask
    """Attacked, but could not be evaluated: left out of every rate."""
    success: Mask
    """Whether the attack reached its goal."""
    linf: Array
    """L-infinity distance to the clean image; NaN where not attacked."""
    l2: Array
    """L2 distance to the clean image; NaN where not attacked."""
    l2_slice: Array
    """The largest L2 distance within one slice of a volume, or that of an image; NaN likewise."""
    l1: Array
    """The sum of absolute changes; NaN likewise."""
    l0: Array
    """Number of changed pixels; NaN likewise."""

    def distance(self, norm: str) -> Array:
        """The distances in one of the norms."""
        known: Array = getattr(self, distance_field(norm))
        return known

    @property
    def evaluated(self) -> Mask:
        """Attacked, and the result could be evaluated."""
        return self.attacked & ~self.failed

    @property
    def countable(self) -> Mask:
        """Cases that count in rates over all cases; none where too many failed."""
        if too_many_failed(int(self.failed.sum()), int(self.attacked.sum())):
            return np.zeros_like(self.failed)
        return ~self.failed

    @classmethod
    def clean(cls, kept: Array) -> Condition:
        """All cases without attack."""
        no = np.zeros(len(kept), bool)
        nan = np.full(len(kept), np.nan)
        return cls(kept, no, no, no, *[nan] * len(NORMS))


@dataclass(frozen=True)
class Ranking:
    """The scores that an AUC ranks cases by: of a finding, or else of each class against the rest.

    `(n, s)` with a column for each AUC.
    """

    labels: npt.NDArray[np.int64]
    """`(n,)`: class of each case."""
    findings: tuple[int, ...]
    """Classes that count as a finding; empty for none."""
    classes: int
    """Number of classes."""

    @property
    def _sides(self) -> list[tuple[int, ...]]:
        return [self.findings] if self.findings else [(k,) for k in range(self.classes)]

    @property
    def positive(self) -> Mask:
        """Which cases should have a high score `(n, s)`."""
        return np.stack([np.isin(self.labels, side) for side in self._sides], 1)

    def of(self, logits: Array) -> Array:
        """The scores of logits `(n, k)`."""
        return np.stack([finding_score(logits, side) for side in self._sides], 1)

    def pushed(self, before: Array, logits: Array, mask: Mask) -> Array:
        """Scores `(n, s)` after an attacker on the AUC has taken the images where they help.

        `mask (n,)`: the cases with such an image, whose logits are `logits`. A positive goes down
        and another case goes up, or stays where it was `before`.
        """
        after = self.of(logits)
        worse = np.where(self.positive, np.minimum(before, after), np.maximum(before, after))
        chosen: Array = np.where(mask[:, None], worse, before)
        return chosen


@dataclass(frozen=True)
class Scorer:
    """Scores conditions of one set of cases; all numbers share the same resamples."""

    by_group: ByGroup
    """Resamples of the cases' groups."""
    labels: npt.NDArray[np.int64]
    """`(n,)`: class of each case."""
    classes: tuple[str, ...]
    """Names of the classes, in the order of the logits."""
    findings: tuple[int, ...]
    """Classes that count as a finding; empty for none."""
    probabilities: bool = True
    """Whether logits tell probabilities: not where the model answers labels alone."""

    def damage(self, kept: Array) -> Array:
        """The margins by which labels are not predicted `(n,)`."""
        return margins(kept, self.labels)

    def errors(self, kept: Array) -> Array:
        """1 where another class than the label is predicted, else 0."""
        wrong: Array = (kept.argmax(1) != self.labels).astype(np.float64)
        return wrong

    def error(self, errors: Array) -> Estimate:
        """The balanced error: the mean over the classes present."""
        return balanced_error(self.by_group, errors, self.labels)

    def pushed(self, clean: Condition, found: Iterable[tuple[Array, Mask]]) -> Array:
        """The scores `(n, s)` that an attacker on the AUC reaches with the images that were found.

        Of every attacked case the image counts that moves its score furthest to the wrong side,
        whether or not it reached the goal of the attack that made it. Others keep their clean
        score.
        """
        scores = self.ranking.of(clean.kept)
        for logits, inside in found:
            scores = self.ranking.pushed(scores, logits, inside)
        return scores

    def by_part(self, worst: Condition, found: Iterable[tuple[Array, Mask]]) -> Condition:
        """The worst case as it is: a class is no part of a case."""
        return worst

    def confusion(self, condition: Condition) -> tuple[tuple[int, ...], ...]:
        """Cases by label (down) and prediction (across); empty beyond `CONFUSION_CLASSES`."""
        k = condition.kept.shape[1]
        if k > CONFUSION_CLASSES:
            return ()
        valid = ~condition.failed
        pairs = self.labels[valid] * k + condition.kept[valid].argmax(1)
        counts = np.bincount(pairs, minlength=k * k).reshape(k, k)
        return tuple(tuple(row) for row in counts.tolist())

    @property
    def ranking(self) -> Ranking:
        """The scores that an AUC ranks by."""
        return Ranking(self.labels, self.findings, len(self.classes))

    def score(
        self, condition: Condition, populations: Sequence[Mask], pushed: Array | None = None
    ) -> list[Scores]:
        """The scores of each population `(n,)` bool.

        `pushed (n, s)` are the scores that an attacker on the AUC reaches; None without attack.
        """
        ranked = self.ranking.of(condition.kept)
        predicted = condition.kept.argmax(1)
        correct = predicted == self.labels
        counted, attacked = condition.countable, condition.evaluated
        with_finding = np.isin(self.labels, self.findings)
        read_as_finding = np.isin(predicted, self.findings)
        defined = np.full(len(correct), bool(self.findings))
        ratios = [
            (correct, counted),
            (correct, attacked),
            (condition.success, attacked),
            (~read_as_finding, attacked & with_finding & defined),
            (read_as_finding, attacked & ~with_finding & defined),
            (read_as_finding, counted & with_finding & defined),
            (~read_as_finding, counted & ~with_finding & defined),
            *((correct, counted & (self.labels == label)) for label in range(len(self.classes))),
        ]
        columns = [(v, m & who) for who in populations for v, m in ratios]
        rates = self.by_group.rates(columns)
        sure = Confidences.of(condition.kept, self.labels) if self.probabilities else None
        results = []
        for i, who in enumerate(populations):
            (accuracy, robust, success, misses, alarms, sensitivity, specificity, *recall) = rates[
                i * len(ratios) : (i + 1) * len(ratios)
            ]
            broken = condition.success & attacked & who
            results.append(
                Scores(
                    accuracy=accuracy,
                    robust_accuracy=robust,
                    success=success,
                    misses=misses,
                    false_alarms=alarms,
                    sensitivity=sensitivity,
                    specificity=specificity,
                    auc=self._auc(ranked, counted & who),
                    attacker_auc=None if pushed is None else self._auc(pushed, counted & who),
                    ece=None
                    if sure is None
                    else calibration_error(self.by_group, sure, counted & who),
                    ece_chance=None if sure is None else chance_error(sure, counted & who),
                    brier=None if sure is None else brier_score(self.by_group, sure, counted & who),
                    recall=dict(zip(self.classes, recall, strict=True)),
                    median_l2=self.by_group.median(condition.l2, broken),
                    median_linf=self.by_group.median(condition.linf, broken),
                    median_l1=self.by_group.median(condition.l1, broken),
                    median_l0=self.by_group.median(condition.l0, broken),
                )
            )
        return results

    def _auc(self, scores: Array, mask: Mask) -> Estimate | None:
        """The AUC of scores `(n, s)`; the mean over their columns."""
        positive = self.ranking.positive
        columns = [(scores[:, k], positive[:, k]) for k in range(scores.shape[1])]
        return self.by_group.mean_auc(columns, mask)


def finding_score(logits: Array, findings: Sequence[int]) -> Array:
    """Log odds of a finding `(n,)`, which the AUC ranks by; higher is more likely a finding."""
    inside = np.isin(np.arange(logits.shape[1]), findings)
    odds: Array = np.logaddexp.reduce(logits[:, inside], axis=1) - np.logaddexp.reduce(
        logits[:, ~inside], axis=1
    )
    return odds


def margins(logits: Array, labels: npt.NDArray[np.int64]) -> Array:
    """Largest wrong logit less the label's `(n,)`; above 0 where the label is not predicted."""
    label_logits = np.take_along_axis(logits, labels[:, None], 1)[:, 0]
    best_other = logits.copy()
    np.put_along_axis(best_other, labels[:, None], -np.inf, 1)
    value: Array = best_other.max(1) - label_logits
    return value
