"""Splits that share pictures: copies leave the split that learns, never the one that judges."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from robust.cases import Cases, open_cases
from robust.cases.case import Pixels
from robust.cases.duplicates.separation import separate
from robust.errors import InputError


def drawn(split: str, count: int) -> Cases:
    return open_cases("phantom:chest_xray", split=split, count=count, pixels=48)


def showing(cases: Cases, others: Cases, shown: dict[int, int], exposure: float) -> Cases:
    """The cases, some of which show an image of others at another exposure."""
    entries = list(cases.entries)
    for row, other in shown.items():
        entries[row] = dataclasses.replace(entries[row], location=(others, other))

    def read(location: Any) -> Pixels:
        if not (isinstance(location, tuple) and location[0] is others):
            own = cases.read(location)
            assert isinstance(own, np.ndarray)
            return own
        pixels = others.stored_image(location[1]).pixels
        return np.rint(pixels * exposure).astype(np.uint8)

    return dataclasses.replace(cases, entries=tuple(entries), read=read)


@pytest.mark.parametrize("exposure", [1.0, 0.9])
def test_copies_leave_the_earlier_split_and_are_named(exposure: float) -> None:
    test = drawn("test", 8)
    val = showing(drawn("val", 8), test, {2: 5}, exposure)
    train = showing(
        showing(drawn("train", 16), test, {0: 1, 3: 1}, exposure), val, {9: 4}, exposure
    )
    found = separate({"train": train, "val": val, "test": test})
    kept = {role: [e.id for e in cases.entries] for role, cases in found.splits.items()}
    assert kept["train"] == [e.id for i, e in enumerate(train.entries) if i not in (0, 3, 9)]
    assert kept["val"] == [e.id for i, e in enumerate(val.entries) if i != 2]
    assert kept["test"] == [e.id for e in test.entries]
    counts = {(one.split, one.other): one.images for one in found.between}
    assert counts == {("train", "val"): 1, ("train", "test"): 2, ("val", "test"): 1}
    (pair,) = found.between[0].pairs
    assert (pair.image, pair.copy) == (train.entries[9].id, val.entries[4].id)
    labels = [train.entries[i].label != test.entries[1].label for i in (0, 3)]
    assert found.between[1].other_label == sum(labels)
    again = separate({"train": train, "val": val, "test": test})
    assert again.between == found.between and again.within == found.within


def test_splits_without_copies_stay_as_they_are() -> None:
    splits = {role: drawn(role, 16) for role in ("train", "val", "test")}
    found = separate(splits)
    assert not found.between and found.splits["train"] is splits["train"]
    assert all(found.splits[role] is splits[role] for role in ("val", "test"))
    assert set(found.within) == {"val", "test"}


def test_copies_inside_a_split_that_judges_are_one_group() -> None:
    test = drawn("test", 8)
    twice = showing(test, test, {6: 0}, 0.9)
    found = separate({"train": drawn("train", 8), "val": twice})
    groups = [entry.group for entry in found.splits["val"].entries]
    assert groups[6] == groups[0] and found.within["val"].images == 1


def test_a_split_of_which_more_than_half_are_copies_is_refused() -> None:
    test = drawn("test", 8)
    train = showing(drawn("train", 8), test, {i: i for i in range(5)}, 0.9)
    with pytest.raises(InputError, match="5 of 8 train images are copies"):
        separate({"train": train, "val": test})
