"""Samples of cases: by class and group, seeded, and the same whatever the order."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from robust.cases.index.sampling import Unit, sample, sample_places
from tests.cases.tables import cases_in_turn


def units(classes: tuple[int, ...], each: int = 2) -> list[Unit]:
    """So many patients of each class, with `each` images."""
    return [
        Unit(f"{label}-{patient}-{i}", label, f"{label}-{patient}")
        for label, count in enumerate(classes)
        for patient in range(count)
        for i in range(each)
    ]


@pytest.mark.parametrize("limit", [2, 3, 7, 20, 33])
def test_classes_keep_their_shares_and_none_is_lost(limit: int) -> None:
    every = units((40, 8, 1))
    found = Counter(every[place].stratum for place in sample(every, limit))
    assert sum(found.values()) == limit
    if limit >= 3:
        assert set(found) == {0, 1, 2}
        for label, count in enumerate((80, 16, 2)):
            assert abs(found[label] - limit * count / 98) <= 1.7
    assert sample(every, 98) == sample(every, 500) == list(range(98))


def test_no_patient_gives_a_second_image_before_all_gave_one() -> None:
    every = units((10, 10), each=3)
    for limit, most in ((20, 1), (21, 2), (40, 2)):
        found = Counter(every[place].group for place in sample(every, limit))
        assert len(found) == 20
        assert max(found.values()) == most


def test_the_sample_depends_on_seed_and_members_not_on_their_order() -> None:
    every = units((30, 30))
    first = {every[place].id for place in sample(every, 15)}
    turned = random.Random(1).sample(every, len(every))
    assert {turned[place].id for place in sample(turned, 15)} == first
    assert {every[place].id for place in sample(every, 15, seed=1)} != first
    assert sample(every, 15) == sorted(sample(every, 15))


def test_kinds_that_take_turns_are_both_there() -> None:
    cases = cases_in_turn(40)
    for limit in (10, 20):
        drawn = cases.sample(limit)
        assert {entry.metadata["eye"] for entry in drawn.entries} == {"left", "right"}
        assert Counter(entry.label for entry in drawn.entries) == {0: limit // 2, 1: limit // 2}


def test_every_image_is_drawn_as_often_as_another() -> None:
    drawn = Counter(place for seed in range(400) for place in sample_places(20, 5, seed))
    assert len(drawn) == 20
    assert min(drawn.values()) > 60 and max(drawn.values()) < 140
