"""Groups (patients, lesions): folds and halves that share no group, groups that are joined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from robust.errors import InputError
from robust.metrics.arrays import Places

FOLDS = 5
"""Folds of a cross-fitting unless something else is asked for."""


def group_codes(groups: Sequence[str]) -> Places:
    """Group of each case as a number `(n,)`, in the order of the names."""
    codes: Places = np.unique(list(groups), return_inverse=True)[1].astype(np.int64)
    return codes


def folds_by_group(groups: npt.NDArray[np.int64], seed: int, folds: int = FOLDS) -> Places:
    """Fold of each case `(n,)`, 0 to folds - 1; a group lies in one fold, and folds are balanced.

    Groups are shuffled by the seed, then dealt from the largest to the fold with the fewest cases.
    InputError where there are fewer groups than folds.
    """
    codes, sizes = np.unique(groups, return_counts=True)
    if len(codes) < folds:
        raise InputError(f"{len(codes)} groups cannot be cut into {folds} folds; audit more cases")
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(codes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    filled = np.zeros(folds, np.int64)
    chosen = np.zeros(len(codes), np.int64)
    for code in order:
        chosen[code] = int(filled.argmin())
        filled[chosen[code]] += sizes[code]
    return chosen[np.searchsorted(codes, groups)]


def half_of_the_groups(
    groups: npt.NDArray[np.int64], folds: Places, seed: int
) -> npt.NDArray[np.bool_]:
    """Which cases lie in the chosen half `(n,)`: in each fold every other group, order by seed."""
    rng = np.random.Generator(np.random.PCG64([seed, 1]))
    chosen = np.zeros(len(groups), bool)
    for fold in range(int(folds.max()) + 1):
        fold_groups = rng.permutation(np.unique(groups[folds == fold]))
        chosen |= np.isin(groups, fold_groups[::2])
    return chosen


def joined_groups(
    groups: Sequence[str], pairs: Sequence[tuple[int, int]] | npt.NDArray[np.int64]
) -> Places:
    """Group of each case as a number `(n,)`, with the groups of each pair of cases joined into one.

    Joining follows chains: if A and B are joined, and B and C, all three are one group.
    """
    names, codes = np.unique(list(groups), return_inverse=True)
    first, second = codes[np.asarray(pairs, np.int64).reshape(-1, 2).T]
    size = len(names)
    links: Any = coo_matrix((np.ones(len(pairs)), (first, second)), shape=(size, size))
    _, parts = connected_components(links, directed=False)
    joined: Places = parts[codes].astype(np.int64)
    return joined
