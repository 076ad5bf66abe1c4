"""From predictions to scores: rates, AUC and distances of one population, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from robust.metrics.bootstrap import Bootstrap
from robust.records import Estimate, Scores

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

CONFUSION_CLASSES = 20

UNTOLD = 0.05
"""Share of attacked cases without a verdict beyond which nothing is said of all cases."""


@dataclass(frozen=True)
class Condition:
    """All cases under one condition, clean ones where they were not attacked."""

    logits: Array
    """`(n, k)`."""
    attacked: Mask
    failed: Mask
    """Attacked without a verdict: left out of every rate."""
    success: Mask
    linf: Array
    """Distance moved; NaN where not attacked."""
    l2: Array

    @classmethod
    def clean(cls, logits: Array) -> Condition:
        no = np.zeros(len(logits), bool)
        nan = np.full(len(logits), np.nan)
        return cls(logits, no, no, no, nan, nan)


@dataclass(frozen=True)
class Scorer:
    """Scores conditions of one set of cases; all numbers share the same resamples."""

    bootstrap: Bootstrap
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    findings: tuple[int, ...]

    def score(self, condition: Condition, populations: Sequence[Mask]) -> list[Scores]:
        """The scores of each population `(n,)` bool."""
        predicted = condition.logits.argmax(1)
        right = predicted == self.labels
        valid = ~condition.failed
        if condition.failed.sum() > UNTOLD * condition.attacked.sum():
            # What is left would be those wrong when clean: no picture of all cases.
            told = np.zeros_like(valid)
        else:
            told = valid
        attacked = condition.attacked & valid
        sick = np.isin(self.labels, self.findings)
        called = np.isin(predicted, self.findings)
        asked = np.full(len(right), bool(self.findings))
        ratios = [
            (right, told),
            (right, attacked),
            (condition.success, attacked),
            (~called, attacked & sick & asked),
            (called, attacked & ~sick & asked),
            (called, told & sick & asked),
            (~called, told & ~sick & asked),
            *((right, told & (self.labels == label)) for label in range(len(self.classes))),
        ]
        columns = [(v, m & who) for who in populations for v, m in ratios]
        rates = self.bootstrap.rates(columns)
        found = []
        for i, who in enumerate(populations):
            (accuracy, robust, success, misses, alarms, sensitivity, specificity, *recall) = rates[
                i * len(ratios) : (i + 1) * len(ratios)
            ]
            broken = condition.success & attacked & who
            found.append(
                Scores(
                    accuracy=accuracy,
                    robust_accuracy=robust,
                    success=success,
                    misses=misses,
                    false_alarms=alarms,
                    sensitivity=sensitivity,
                    specificity=specificity,
                    auc=self._auc(condition.logits, told & who),
                    recall=dict(zip(self.classes, recall, strict=True)),
                    median_l2=self.bootstrap.median(condition.l2, broken),
                    median_linf=self.bootstrap.median(condition.linf, broken),
                )
            )
        return found

    def _auc(self, logits: Array, where: Mask) -> Estimate | None:
        if self.findings:
            sick = np.isin(self.labels, self.findings)
            return self.bootstrap.auc(finding_score(logits, self.findings), sick, where)
        each = [
            self.bootstrap.auc(finding_score(logits, (k,)), self.labels == k, where)
            for k in range(len(self.classes))
        ]
        known = [e for e in each if e is not None]
        if not known:
            return None
        value, low, high = (float(np.mean([getattr(e, p) for e in known])) for p in _PARTS)
        # The mean of the classes' bounds is wider than the bound of their mean: never too narrow.
        return Estimate(value, low, high, known[0].cases, known[0].groups)


_PARTS = ("value", "low", "high")


def finding_score(logits: Array, findings: Sequence[int]) -> Array:
    """Log odds of a finding `(n,)`: what the AUC ranks by."""
    inside = np.isin(np.arange(logits.shape[1]), findings)
    odds: Array = np.logaddexp.reduce(logits[:, inside], axis=1) - np.logaddexp.reduce(
        logits[:, ~inside], axis=1
    )
    return odds


def confusion(condition: Condition, labels: npt.NDArray[np.int64]) -> tuple[tuple[int, ...], ...]:
    """Cases by label (down) and prediction (across); empty beyond `CONFUSION_CLASSES`."""
    k = condition.logits.shape[1]
    if k > CONFUSION_CLASSES:
        return ()
    valid = ~condition.failed
    pairs = labels[valid] * k + condition.logits[valid].argmax(1)
    counts = np.bincount(pairs, minlength=k * k).reshape(k, k)
    return tuple(tuple(row) for row in counts.tolist())


def margins(logits: Array, labels: npt.NDArray[np.int64]) -> Array:
    """By how much the best wrong logit leads `(n,)`; above 0 where the label is not predicted."""
    own = np.take_along_axis(logits, labels[:, None], 1)[:, 0]
    others = logits.copy()
    np.put_along_axis(others, labels[:, None], -np.inf, 1)
    ahead: Array = others.max(1) - own
    return ahead
