"""Plans: eps as people write them, and what is part of a plan's identity."""

from __future__ import annotations

import pytest

from robust.plan import parse_eps
from robust.plan.load import make_plan


@pytest.mark.parametrize(
    ("text", "value"),
    [("1/255", 1 / 255), ("0.5/255", 0.5 / 255), ("0.03", 0.03), (0, 0.0), (" 8 / 255 ", 8 / 255)],
)
def test_eps_as_people_write_it(text: object, value: float) -> None:
    assert parse_eps(text) == value


@pytest.mark.parametrize("text", ["one", "1/0", "-1/255", None, "nan"])
def test_eps_that_is_none(text: object) -> None:
    with pytest.raises(ValueError, match="eps"):
        parse_eps(text)


def test_the_title_is_no_part_of_the_plans_identity() -> None:
    a, b = make_plan({"title": "a"}), make_plan({"title": "b"})
    assert a.digest() == b.digest()
    assert a.digest() != make_plan({"audit": {"seed": 1}}).digest()
