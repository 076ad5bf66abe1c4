"""Norms and eps: what is printed is read back as the same eps."""

from __future__ import annotations

import math

import numpy as np
import pytest

import attacks
from robust import units
from robust.units import (
    NORMS,
    TOLERANCE,
    at_eps,
    eps_text,
    format_threat,
    parse_eps,
    parse_share,
    parse_threat,
    same_eps,
)


@pytest.mark.parametrize(
    ("eps", "norm", "text"),
    [
        (1 / 255, "Linf", "1/255"),
        (0.5 / 255, "Linf", "0.5/255"),
        (0.25 / 255, "Linf", "0.25/255"),
        (0.1 / 255, "Linf", "0.1/255"),
        (0.1, "Linf", "25.5/255"),
        (1.0, "Linf", "255/255"),
        (0.03, "Linf", "0.03"),
        (0.0003922, "Linf", "0.100011/255"),
        (0.0123456789, "Linf", "3.148148/255"),
        (0.3 / 255, "Linf", "0.3/255"),
        (1 / 765, "Linf", "0.3333333/255"),
        (0.0, "Linf", "0"),
        (0.5, "L2", "0.5"),
        (0.03, "L2", "0.03"),
        (0.1 / 255, "L2", "0.1/255"),
        (0.0123456789, "L2", "0.012345679"),
        (None, "L2", "nearest"),
    ],
)
def test_eps_is_printed_in_one_way(eps: float | None, norm: str, text: str) -> None:
    assert eps_text(eps, norm) == text


def test_what_is_printed_is_read_back() -> None:
    rng = np.random.default_rng(0)
    drawn = [*rng.uniform(0, 2, 300), *(rng.integers(1, 2550, 300) / 2550), 1e-7, 1 / 3, 1e-4]
    for eps in map(float, drawn):
        for norm in NORMS:
            assert abs(parse_eps(eps_text(eps, norm)) - eps) < TOLERANCE
            read, value = parse_threat(format_threat(norm, eps), "Linf")
            assert read == norm and same_eps(value, eps)


def test_a_threat_names_its_norm_where_it_is_not_the_default() -> None:
    assert format_threat("Linf", 2 / 255) == "2/255" and format_threat("L2", 0.5) == "L2 0.5"
    assert format_threat("L2", 0.5, "L2") == "0.5" and format_threat("L2", None, "") == "L2 nearest"
    assert at_eps("PGD", "Linf", 1 / 255) == "PGD at 1/255"
    assert at_eps("PGD", "L2", 0.5) == "PGD at L2 0.5" and at_eps("FMN", "L2", None) == "FMN"


@pytest.mark.parametrize("value", ["one", "1/0", "nan", True, None, "", math.inf, -0.1, "-1/255"])
def test_what_is_no_eps_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="eps"):
        parse_eps(value)


def test_no_bound_equals_itself_alone() -> None:
    assert same_eps(None, None) and not same_eps(None, 0.0) and not same_eps(0.0, None)
    assert same_eps(0.1, 0.1 + 1e-12) and not same_eps(0.1, 0.1001)


@pytest.mark.parametrize(
    ("value", "share"), [(0.875, 0.875), ("224/256", 0.875), ("0.9", 0.9), (1, 1.0)]
)
def test_a_share_is_a_number_or_a_ratio(value: object, share: float) -> None:
    assert parse_share(value) == share


@pytest.mark.parametrize("value", [0, -1, "x", "1/0", True, None, float("nan"), float("inf")])
def test_what_is_no_share(value: object) -> None:
    with pytest.raises(ValueError, match=r"write 0\.875 or '224/256'"):
        parse_share(value)


def test_the_norms_are_those_of_attacks() -> None:
    assert units.NORMS == attacks.NORMS
