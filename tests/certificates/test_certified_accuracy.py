"""Certified accuracy: published numbers, the curve, crossings and the binomial allowance."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from robust.certificates.certified_accuracy import (
    AttackedCases,
    ProvenCases,
    allowed_crossings,
    certified_points,
)
from robust.engine.accuracy_curve import MAX_POINTS
from robust.metrics.arrays import Array
from robust.metrics.by_group import ByGroup
from tests.conftest import DATA

PUBLISHED = DATA.parent / "reference" / "cohen_cifar10_sigma025.tsv"


def proven(radius: Array, right: Array | None = None) -> ProvenCases:
    n = len(radius)
    mask = np.ones(n, bool) if right is None else right.astype(bool)
    return ProvenCases(ByGroup(range(n)), mask, radius)


def attacked(cases: ProvenCases, nearest: Array, *sizes: float) -> AttackedCases:
    n = len(nearest)
    return AttackedCases(
        norm="L2",
        attack="PGD",
        sizes=sizes,
        correct=cases.right,
        nearest=nearest,
        smallest=np.full(n, min(sizes, default=np.inf)),
        countable=np.ones(n, bool),
        values=np.full(n, 100),
    )


def test_published_radii_give_the_published_certified_accuracies() -> None:
    if not PUBLISHED.exists():
        pytest.skip("needs the published radii, which are not part of the repository")
    with Path(PUBLISHED).open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert len(rows) == 500
    cases = proven(
        np.array([float(row["radius"]) for row in rows]),
        np.array([row["correct"] == "1" for row in rows]),
    )
    none = attacked(cases, np.full(500, np.inf))
    points = certified_points(cases, none, (0.75, 0.25, 0.0, 0.5))
    assert [point.eps for point in points] == [0.0, 0.25, 0.5, 0.75]
    rates = [point.certified.value for point in points]
    assert rates == pytest.approx([0.748, 0.600, 0.428, 0.266], abs=5e-4)
    radii, curve = cases.curve()
    beyond = next(rate.value for radius, rate in zip(radii, curve, strict=True) if radius >= 0.25)
    assert beyond == pytest.approx(0.600, abs=0.02)  # the curve is thinned out
    assert len(radii) == MAX_POINTS + 1 and curve[0].value == pytest.approx(0.748)


def test_the_curve_falls_at_the_radii_of_the_cases_that_are_right() -> None:
    cases = proven(np.array([0.3, 0.1, 0.1, 0.0, 0.2]), np.array([1, 1, 1, 1, 0]))
    radii, rates = cases.curve()
    assert radii == (0.0, 0.1, 0.3)
    assert [rate.value for rate in rates] == [0.8, 0.6, 0.2]
    assert cases.median_radius().value == 0.1
    nothing = proven(np.zeros(6))
    assert nothing.curve()[0] == (0.0,) and nothing.median_radius().value == 0


def test_points_show_what_is_proven_beside_what_attacks_left() -> None:
    cases = proven(np.array([0.3, 0.1, 0.0, 0.5]), np.array([1, 1, 1, 0]))
    nearest = np.array([0.35, np.inf, 0.05, np.inf])
    low, high = certified_points(cases, attacked(cases, nearest, 0.2, 0.4), (0.2, 0.4))
    assert (low.certified.value, high.certified.value) == (0.25, 0.0)
    assert low.attacked is not None and low.attacked.value == 0.5
    assert high.attacked is not None and high.attacked.value == 0.25
    assert low.crossings == high.crossings == 0
    (before,) = certified_points(cases, attacked(cases, nearest, 0.2), (0.1,))
    assert before.attacked is None  # no attack ran at so small an eps
    (bounded,) = certified_points(cases, attacked(cases, nearest, np.inf), (0.1,))
    assert bounded.attacked is not None and bounded.attacked.value == 0.5


def test_a_crossing_is_an_image_nearer_than_the_proven_radius_beyond_rounding() -> None:
    cases = proven(np.array([0.3, 0.3, 0.3, 0.3]), np.array([1, 1, 1, 0]))
    nearest = np.array([0.29, 0.3 - 1e-7, 0.31, 0.1])
    found = attacked(cases, nearest, 0.2, 0.3)
    assert found.crosses(cases).tolist() == [True, False, False, False]
    assert found.compared(cases) == 3
    points = certified_points(cases, found, (0.2, 0.3))
    assert [point.crossings for point in points] == [0, 1]
    assert attacked(cases, nearest, 0.31).compared(cases) == 0


def test_what_could_not_be_attacked_is_left_out() -> None:
    cases = proven(np.array([0.3, 0.3]))
    some = attacked(cases, np.array([0.1, np.inf]), 0.2)
    half = AttackedCases(**{**vars(some), "countable": np.array([True, False])})
    left = half.left(0.2, cases.by_group)
    assert left is not None and left.value == 0 and left.cases == 1
    assert half.compared(cases) == 1


def test_so_many_crossings_are_allowed_as_chance_explains() -> None:
    assert allowed_crossings(500, None) == 0 == allowed_crossings(0, 0.001)
    for compared, alpha in ((40, 0.001), (60, 0.001), (2000, 0.001), (200, 0.05)):
        most = allowed_crossings(compared, alpha)
        assert binom.sf(most, compared, alpha) <= 0.05  # one more is refused
        assert most == 0 or binom.sf(most - 1, compared, alpha) > 0.05
    assert [allowed_crossings(n, 0.001) for n in (40, 60, 2000)] == [0, 1, 5]
