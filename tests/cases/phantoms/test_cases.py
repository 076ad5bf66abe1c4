"""Synthetic images as cases."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch

from robust.cases import open_cases
from robust.errors import InputError
from tests.cases.tables import labels


def test_phantoms_share_no_patient_between_splits() -> None:
    seen: set[str] = set()
    pictures: set[bytes] = set()
    for split in ("train", "val", "test"):
        cases = open_cases("phantom:chest_xray", split=split, count=8, pixels=28)
        assert Counter(labels(cases)) == {0: 4, 1: 4}
        assert [c.group for c in cases][:2] == [cases[0].group] * 2
        assert len({c.group for c in cases}) == 4
        assert cases.phantom and cases.grouped
        assert not seen & {c.group for c in cases}
        seen |= {c.group for c in cases}
        pictures |= {c.image.numpy().tobytes() for c in cases}
    assert len(pictures) == 24


def test_phantoms_by_seed_and_size() -> None:
    first = open_cases("phantom:fundus", count=4, pixels=32)
    assert first[0].image.shape == (3, 32, 32)
    assert torch.equal(first[1].image, open_cases("phantom:fundus", count=4, pixels=32)[1].image)
    other = open_cases("phantom:fundus", count=4, pixels=32, seed=1)
    assert not torch.equal(first[1].image, other[1].image)
    assert not open_cases("phantom:fundus", count=4, group="none").grouped


@pytest.mark.parametrize(
    ("path", "options", "said"),
    [
        ("phantom:chest", {}, "no synthetic images of 'chest'; did you mean chest_xray"),
        ("phantom:fundus", {"count": 1}, "count must be at least 2"),
        ("phantom:fundus", {"pixels": 27}, "pixels must be at least 28"),
        ("phantom:fundus", {"pixels": 10**400}, "pixels must be .* at most 1024, not 1000"),
        ("phantom:fundus", {"count": 1_000_001}, "count must be .* at most 1000000"),
        ("phantom:fundus", {"seed": -1}, "seed must be at least 0"),
        ("phantom:fundus", {"seed": 2**64}, "seed must be .* at most 4294967295"),
        ("phantom:fundus", {"size": 10**9}, "size must be 1 to 8192 pixels"),
        ("phantom:fundus", {"split": "tests"}, "no split 'tests'; did you mean test"),
        ("phantom:fundus", {"label": "dx"}, "label = 'dx' does not apply"),
    ],
)
def test_phantoms_that_are_not_there(path: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        open_cases(path, **options)
