"""Metadata columns that predict the label: cross-validated recall with a permutation test."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt

from robust.cases.case import Cases

Codes = npt.NDArray[np.int64]

STRONG = 0.5
"""How far from chance (0) to certainty (1) a column must predict; age and sex stay below it."""
SIGNIFICANCE = 0.01
"""Level of the permutation test, over all columns together (Bonferroni)."""
CV_FOLDS = 5
"""Folds of the cross-validation."""
MIN_CASES = 20
"""Fewest cases, one per group, for a column to be tested."""
SITE_SIZE, MAX_SITES = 10, 30
"""Fewest cases per group on average, and most groups, for a group to be taken for a site or a
device: of many patients each naturally has one label."""
MAX_VALUES = 10
"""Most different numbers in a column that are kept as values; more are put into fifths."""


def find_shortcuts(cases: Cases, seed: int = 0) -> dict[str, float]:
    """Columns that give the label away, with the recall that each alone reaches on held-out cases.

    The recall is the mean over classes, in [0, 1]. Columns are those of the metadata, and the group
    where groups are large. A column is tested on one case per group, since the images of one
    patient are not independent.
    """
    labels = np.array([entry.label for entry in cases.entries], np.int64)
    groups = [entry.group for entry in cases.entries]
    _, first = np.unique(np.array(groups), return_index=True)
    first = np.sort(first)
    columns: dict[str, tuple[Codes, Codes]] = {}
    for name in sorted({name for entry in cases.entries for name in entry.metadata}):
        values = [cases.entries[i].metadata.get(name, "") for i in first]
        columns[name] = _codes(values), labels[first]
    if cases.grouped and 1 < len(first) < MAX_SITES and len(groups) >= SITE_SIZE * len(first):
        columns["the group"] = _codes(groups), labels
    found = {}
    for name, (codes, own) in columns.items():
        rng = np.random.default_rng([seed, len(own)])
        right = _predicts(codes, own, rng.permutation(len(own)) % CV_FOLDS)
        if right is not None and _beats_chance(right, codes, own, rng, len(columns)):
            found[name] = right
    return found


def _codes(values: list[str]) -> Codes:
    """Each value as a code; many different numbers as the fifth that they lie in."""
    try:
        numbers = np.array([float(value) for value in values])
    except ValueError:
        numbers = np.array([])
    if np.isfinite(numbers).all() and len(set(numbers.tolist())) > MAX_VALUES:
        edges = np.quantile(numbers, [0.2, 0.4, 0.6, 0.8])
        return np.searchsorted(edges, numbers, side="right").astype(np.int64)
    known = {value: code for code, value in enumerate(Counter(values))}
    return np.array([known[value] for value in values], np.int64)


def _predicts(codes: Codes, labels: Codes, folds: Codes) -> float | None:
    """Mean recall when every fold is predicted from the others; None where it cannot be tested."""
    present, labels = np.unique(labels, return_inverse=True)
    if len(labels) < MIN_CASES or len(present) < 2 or codes.max() == codes.min():
        return None
    guesses = np.zeros_like(labels)
    for fold in range(CV_FOLDS):
        held = folds == fold
        table = np.zeros((codes.max() + 1, len(present)))
        np.add.at(table, (codes[~held], labels[~held]), 1)
        shares = table / np.maximum(table.sum(0), 1)
        guesses[held] = shares.argmax(1)[codes[held]]
    right = guesses == labels
    return float(np.mean([right[labels == label].mean() for label in range(len(present))]))


def _beats_chance(
    right: float, codes: Codes, labels: Codes, rng: np.random.Generator, columns: int
) -> bool:
    chance = 1 / len(np.unique(labels))
    if (right - chance) / (1 - chance) < STRONG:
        return False
    draws = round(1 / SIGNIFICANCE) * columns
    folds = rng.permutation(len(labels)) % CV_FOLDS
    as_good = sum(
        (_predicts(codes, rng.permutation(labels), folds) or 0) >= right for _ in range(draws)
    )
    return (as_good + 1) / (draws + 1) <= SIGNIFICANCE / columns
