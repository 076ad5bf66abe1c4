"""Whether other names for the classes explain what the model misreads."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from robust.cases.case import Cases, Entry
from robust.diagnostics.model import other_order

Rows = list[list[int]]


def observed(confusion: Rows, images_of_a_group: int = 1) -> str | None:
    labels = [k for k, row in enumerate(confusion) for _ in range(sum(row))]
    entries = tuple(
        Entry(str(i), k, str(i // images_of_a_group), {}, i) for i, k in enumerate(labels)
    )
    names = tuple("abcdef"[: len(confusion)])
    cases = Cases(source="", classes=names, entries=entries, read=lambda place: place)
    groups = len({entry.group for entry in entries})
    clean = SimpleNamespace(confusion=tuple(map(tuple, confusion)))
    evidence = SimpleNamespace(clean=clean, cases=replace(cases), groups=groups)
    return other_order(evidence)  # type: ignore[arg-type]


def test_two_names_that_were_swapped_and_a_turn_of_three() -> None:
    swapped = [[10, 0, 0, 0], [0, 10, 0, 0], [0, 0, 1, 9], [0, 0, 10, 0]]
    assert observed(swapped) == (
        "'c' is read as 'd', 'd' is read as 'c': with the classes in that order 1 of 40 images "
        "would be misread, not 19"
    )
    assert observed([[0, 9, 1], [1, 0, 9], [10, 0, 0]]) is not None
    assert observed([[2, 28], [27, 3]]) is not None


@pytest.mark.parametrize(
    "confusion",
    [
        [[10, 0], [0, 10]],
        [[5, 5], [5, 5]],
        [[0, 20], [0, 20]],
        [[12, 8, 0], [9, 11, 0], [0, 0, 20]],
        [[1, 3], [4, 0]],
        [[10, 0, 0], [0, 8, 2], [0, 9, 1]],
    ],
    ids=["right", "chance", "constant", "confused", "few", "one way"],
)
def test_other_errors_are_not_taken_for_another_order(confusion: Rows) -> None:
    assert observed(confusion) is None


def test_many_images_of_few_patients_show_less() -> None:
    confusion = [[0, 20], [20, 0]]
    assert observed(confusion) is not None
    assert observed(confusion, images_of_a_group=10) is None


def test_models_that_guess_rarely_look_like_another_order() -> None:
    rng = np.random.default_rng(0)
    for classes in (2, 3, 5):
        found = 0
        for _ in range(300):
            rows = [rng.multinomial(15, [1 / classes] * classes).tolist() for _ in range(classes)]
            found += observed(rows) is not None
        assert found <= 2
