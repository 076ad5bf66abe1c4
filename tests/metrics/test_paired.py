"""The interval of a difference: against hand counts, by how often it covers, and at the edge."""

from __future__ import annotations

import numpy as np
import pytest

from robust.metrics.paired import Paired, balanced_difference


def ones(n: int) -> np.ndarray:
    return np.ones(n, bool)


def test_the_point_is_the_difference_of_the_two_rates() -> None:
    old, new = np.array([1, 1, 1, 0, 0, 0]), np.array([1, 0, 0, 0, 1, 0])
    among = np.array([1, 1, 1, 1, 0, 0], bool), np.array([0, 1, 1, 1, 1, 0], bool)
    found = Paired(range(6)).difference((old, among[0]), (new, among[1]))
    assert found is not None
    assert found.value == pytest.approx(1 / 4 - 3 / 4)
    assert (found.cases, found.groups) == (5, 5)
    assert found.low < found.value < found.high
    assert Paired(range(6)).difference((old, among[0]), (new, ones(6) & False)) is None


@pytest.mark.parametrize("same", [0.0, 1.0])
def test_where_nothing_differs_the_number_of_groups_bounds_what_could(same: float) -> None:
    widths = []
    for groups in (10, 40, 160):
        values = np.full(4 * groups, same)
        found = Paired(np.repeat(np.arange(groups), 4)).difference(
            (values, ones(4 * groups)), (values, ones(4 * groups))
        )
        assert found is not None and found.value == 0 and found.groups == groups
        assert found.low < 0 < found.high
        widths.append(found.high - found.low)
    # Clopper-Pearson at none of 40 says 8.8 %: the same order, and it shrinks with the groups.
    assert 0.04 < widths[1] / 2 < 0.12
    assert widths[0] > 3 * widths[1] > 9 * widths[2]


def test_where_all_differ_the_interval_ends_at_the_edge_and_is_no_point() -> None:
    found = Paired(range(30)).difference((np.ones(30), ones(30)), (np.zeros(30), ones(30)))
    assert found is not None
    assert found.value == found.low == -1 and -0.95 < found.high < -0.7


@pytest.mark.parametrize(("differ", "shown"), [(3, False), (4, False), (7, True)])
def test_few_that_lean_one_way_prove_nothing(differ: int, shown: bool) -> None:
    """McNemar's exact test: 5 of 5 has p = 0.06, 6 of 6 has p = 0.03."""
    new = np.ones(100)
    new[:differ] = 0
    found = Paired(range(100)).difference((np.ones(100), ones(100)), (new, ones(100)))
    assert found is not None
    assert (found.high < 0) is shown


def test_what_both_share_cancels_and_groups_do_not() -> None:
    rng = np.random.default_rng(0)
    old = np.repeat(rng.random(80) < 0.5, 5)
    new = old ^ (rng.random(400) < 0.05)
    groups = np.repeat(np.arange(80), 5)
    paired = Paired(groups).difference((old, ones(400)), (new, ones(400)))
    apart = Paired(groups).difference((old, ones(400)), (rng.permutation(new), ones(400)))
    whole = np.repeat(new[::5], 5)
    lumped = Paired(groups).difference((old, ones(400)), (whole, ones(400)))
    assert paired and apart and lumped
    assert paired.high - paired.low < 0.5 * (apart.high - apart.low)
    assert lumped.high - lumped.low > 1.3 * (paired.high - paired.low)


@pytest.mark.parametrize(
    ("groups", "images", "up", "down", "lumped"),
    [(40, 1, 0.05, 0.1, False), (60, 3, 0.1, 0.1, True), (100, 1, 0.3, 0.1, False)],
)
def test_it_covers_the_truth_at_least_as_often_as_it_says(
    groups: int, images: int, up: float, down: float, lumped: bool
) -> None:
    """Half of the groups' images are right in OLD; a flip of either kind is drawn for each image,
    or for whole groups.
    """
    rng = np.random.default_rng(1)
    names = np.repeat(np.arange(groups), images)
    n, trials, covered = groups * images, 400, 0
    for _ in range(trials):
        old = rng.random(n) < 0.5
        drawn = rng.random(groups)[names] if lumped else rng.random(n)
        new = np.where(old, drawn >= down, drawn < up)
        found = Paired(names).difference((old, ones(n)), (new, ones(n)))
        assert found is not None
        covered += found.low <= (up - down) / 2 <= found.high
    # 95 of 100 with room for chance in 400 trials.
    assert covered / trials > 0.92


def test_a_balanced_difference_counts_each_class_alike() -> None:
    labels = np.array([0] * 40 + [1] * 10)
    old, new = np.ones(50), np.ones(50)
    new[:4], new[40:45] = 0, 0
    found = balanced_difference(range(50), labels, old, new)
    assert found.value == pytest.approx(-(0.1 + 0.5) / 2)
    assert found.low < found.value < found.high < 0
    # Groups with cases of both classes: what they share may add up, so that it is wider.
    mixed = [*range(10), *range(10), *range(10), *range(10), *range(10)]
    apart = [f"{label} {group}" for label, group in zip(labels, mixed, strict=True)]
    together, separate = (balanced_difference(g, labels, old, new) for g in (mixed, apart))
    assert together.high - together.low > separate.high - separate.low


def test_a_balanced_difference_covers_the_truth() -> None:
    """One percent of the cases of a rare class and a tenth of the others get worse."""
    rng = np.random.default_rng(4)
    labels = np.array([0] * 160 + [1] * 40)
    covered = 0
    for _ in range(150):
        old = (rng.random(200) < 0.9).astype(float)
        new = old * (rng.random(200) < np.where(labels == 0, 0.9, 0.99))
        truth = -0.9 * (0.1 + 0.01) / 2
        found = balanced_difference(range(200), labels, old, new)
        covered += found.low <= truth <= found.high
    assert covered >= 0.92 * 150


def test_a_class_of_too_few_groups_has_no_interval() -> None:
    labels = np.array([0] * 30 + [1] * 2)
    found = balanced_difference(range(32), labels, np.ones(32), np.ones(32))
    assert found.interval is None and found.groups_needed and found.groups_needed > 32
