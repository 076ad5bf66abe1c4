"""Form of a model's scores: labels in disguise, cut to the best classes, rounded, clipped."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from robust.metrics.arrays import Array

MOST_DIGITS = 4
"""Digits behind the point up to which rounding is looked for; finer steps hide little."""
FEWEST_VALUES = 16
"""Values, other than 0 and 1, below which digits may agree by chance."""
PRECISION = float(np.finfo(np.float32).eps)
TINY = 1e-30
"""A probability below counts as 0."""
INSIDE = 1e-6
"""How far from 0 and 1 a probability lies that is not there because it saturates."""


@dataclass(frozen=True)
class AnswerForm:
    """What is missing from the scores of a model, as its answers to clean images show it."""

    labels: bool = False
    """Whether they are 0 and 1 alone, one 1 for each image."""
    kept: int | None = None
    """Number of classes that have a score, the best ones; None: all."""
    classes: int = 0
    digits: int | None = None
    """Digits behind the point to which they are rounded; None: no rounding was seen."""
    images: int = 0
    """Number of different images that were looked at."""


def answer_form(logits: Array, head: str, threshold: float = 0.5) -> AnswerForm:
    """The form of the scores behind logits `(n, k)` of different images."""
    scores = answered_scores(logits, head, threshold)
    n, k = scores.shape
    found = AnswerForm(classes=k, images=n)
    if n < 2 or k == 0:
        return found
    if k > 1 and bool((((scores == 0) | (scores == 1)).all(1) & (scores.sum(1) == 1)).all()):
        return AnswerForm(True, None, k, None, n)
    given = (scores > 0).sum(1)
    inside = bool(((scores >= 0) & (scores <= 1)).all())
    cut = k > 1 and inside and bool((given == given[0]).all()) and 0 < given[0] < k
    return AnswerForm(False, int(given[0]) if cut else None, k, _digits(scores), n)


def clipped_probabilities(logits: Array, head: str, threshold: float = 0.5) -> Array:
    """Probabilities `(n, k)` whose extremes tell of a clip, those at 0 and 1 left out as NaN."""
    scores = answered_scores(logits, head, threshold)
    return np.where((scores > INSIDE) & (scores < 1 - INSIDE), scores, np.nan)


def answered_scores(logits: Array, head: str, threshold: float) -> Array:
    """What the model itself has answered: `Classifier.to_logits` and the threshold undone."""
    if logits.shape[1] == 2 and threshold != 0.5:
        odds = math.log(threshold / (1 - threshold))
        logits = np.stack([logits[:, 0], logits[:, 1] + odds], 1)
    if head == "probabilities":
        scores = np.exp(logits)
        return np.where(scores < TINY, 0.0, scores)
    if head in ("sigmoid", "multilabel"):
        return logits[:, 1:]
    return logits


def _digits(scores: Array) -> int | None:
    """The fewest digits behind the point with which all scores can be written, if they are few."""
    values = scores[(np.abs(scores) > 0) & (np.abs(scores - 1) > PRECISION)]
    if len(values) < FEWEST_VALUES:
        return None
    for digits in range(MOST_DIGITS + 1):
        scaled = values * 10.0**digits
        error = 8 * PRECISION * np.abs(scaled).max()
        if error > 0.01:  # float32 does not show such digits
            return None
        if bool((np.abs(scaled - np.rint(scaled)) <= max(error, 1e-5)).all()):
            return digits
    return None
