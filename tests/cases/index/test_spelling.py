"""Names: one text for one name, and names that differ in spelling alone."""

from __future__ import annotations

import pytest

from robust.cases.index.spelling import check_class_spelling, folded, spelled_alike, tidy
from robust.errors import InputError


def test_a_name_is_kept_without_blanks_around_it_composed_and_valid() -> None:
    assert tidy(" P1 ") == tidy("P1\t") == "P1"
    assert tidy("Zu\u0308rich") == "Z\u00fcrich"
    assert tidy("Lunge\udcfc") == r"Lunge\xfc", "a byte that is no UTF-8"
    assert tidy("Lunge\udcfc").encode()


@pytest.mark.parametrize(
    ("one", "other"),
    [("P7", "p-07"), ("007", "7"), ("P 1", "P1"), ("caf\u00e9", "CAFE\u0301"), ("a_b", "A.B")],
)
def test_names_that_differ_in_spelling_alone(one: str, other: str) -> None:
    assert folded(one) == folded(other)
    assert spelled_alike([one, other, "else"]) == 2


@pytest.mark.parametrize(("one", "other"), [("P1", "P10"), ("10", "1"), ("a", "b"), ("0", "00a")])
def test_other_names_are_not_alike(one: str, other: str) -> None:
    assert spelled_alike([one, other]) == 0


def test_two_classes_that_differ_in_case_alone_are_refused() -> None:
    check_class_spelling(["Normal", "abnormal"], "x")
    with pytest.raises(InputError, match=r"classes 'Normal' and 'normal' differ in letter case"):
        check_class_spelling(["Normal", "normal"], "x")
