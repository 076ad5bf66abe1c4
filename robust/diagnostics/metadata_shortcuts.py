"""Columns that predict the label without the image: cross-validated, and against permutations."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt

from robust.cases.case import Cases

Codes = npt.NDArray[np.int64]

STRONG = 0.5
"""How far from chance (0) to certainty (1) a column must predict; age and sex stay well below."""
LEVEL = 0.01
"""Of all permutations of the labels together, over all columns."""
FOLDS = 5
LEAST = 20
"""Cases, one a group, from which a column is judged at all."""
CROWD, SITES = 10, 30
"""Cases a group on average, and groups at most, with which a group may be a site or a device: of
many patients each naturally has one label."""
MANY = 10
"""Different numbers in a column from which they are taken in fifths."""


def find_shortcuts(cases: Cases, seed: int = 0) -> dict[str, float]:
    """Metadata columns (and the group, where groups are large) that give the label away, each with
    the mean share of every class that the column alone predicts in cases left out.

    A column is judged on one case a group: the images of one patient are no independent evidence.
    """
    labels = np.array([entry.label for entry in cases.entries], np.int64)
    groups = [entry.group for entry in cases.entries]
    _, first = np.unique(np.array(groups), return_index=True)
    one = np.sort(first)
    columns: dict[str, tuple[Codes, Codes]] = {}
    for name in sorted({name for entry in cases.entries for name in entry.metadata}):
        values = [cases.entries[i].metadata.get(name, "") for i in one]
        columns[name] = _codes(values), labels[one]
    if cases.grouped and 1 < len(first) < SITES and len(groups) >= CROWD * len(first):
        columns["the group"] = _codes(groups), labels
    found = {}
    for name, (codes, own) in columns.items():
        rng = np.random.default_rng([seed, len(own)])
        right = _predicts(codes, own, rng.permutation(len(own)) % FOLDS)
        if right is not None and _beats_chance(right, codes, own, rng, len(columns)):
            found[name] = right
    return found


def _codes(values: list[str]) -> Codes:
    """Each value as a number; many different numbers as the fifth that they lie in."""
    try:
        numbers = np.array([float(value) for value in values])
    except ValueError:
        numbers = np.array([])
    if np.isfinite(numbers).all() and len(set(numbers.tolist())) > MANY:
        edges = np.quantile(numbers, [0.2, 0.4, 0.6, 0.8])
        return np.searchsorted(edges, numbers, side="right").astype(np.int64)
    known = {value: code for code, value in enumerate(Counter(values))}
    return np.array([known[value] for value in values], np.int64)


def _predicts(codes: Codes, labels: Codes, folds: Codes) -> float | None:
    """Mean recall when every fold is predicted from the others; None where there is no telling."""
    present, labels = np.unique(labels, return_inverse=True)
    if len(labels) < LEAST or len(present) < 2 or codes.max() == codes.min():
        return None
    guesses = np.zeros_like(labels)
    for fold in range(FOLDS):
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
    draws = round(1 / LEVEL) * columns
    folds = rng.permutation(len(labels)) % FOLDS
    as_good = sum(
        (_predicts(codes, rng.permutation(labels), folds) or 0) >= right for _ in range(draws)
    )
    return (as_good + 1) / (draws + 1) <= LEVEL / columns
