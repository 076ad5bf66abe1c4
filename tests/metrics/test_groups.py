"""Groups: folds and halves share none, and groups are joined along chains."""

from __future__ import annotations

import numpy as np
import pytest

from robust.errors import InputError
from robust.metrics.groups import FOLDS, folds_by_group, half_of_the_groups, joined_groups


def test_folds_and_halves_share_no_group_and_are_balanced() -> None:
    groups = np.repeat(np.arange(40), np.arange(40) % 4 + 1)
    folds = folds_by_group(groups, seed=0)
    half = half_of_the_groups(groups, folds, seed=0)
    for group in range(40):
        assert len(set(folds[groups == group])) == 1 == len(set(half[groups == group]))
    sizes = np.bincount(folds)
    assert len(sizes) == FOLDS and sizes.max() - sizes.min() <= 1
    for fold in range(FOLDS):
        own = folds == fold
        assert len(set(groups[own & half])) == (len(set(groups[own])) + 1) // 2
    assert not (folds_by_group(groups, seed=1) == folds).all()
    with pytest.raises(InputError, match="3 groups cannot be cut into 5 folds"):
        folds_by_group(np.arange(3), 0)


def test_groups_of_paired_cases_are_joined_along_chains() -> None:
    groups = ["a", "a", "b", "b", "c", "d"]
    joined = joined_groups(groups, [(1, 2), (3, 4)])
    assert len(set(joined[:5])) == 1 and joined[5] != joined[0]
    assert len(set(joined_groups(groups, []))) == 4
