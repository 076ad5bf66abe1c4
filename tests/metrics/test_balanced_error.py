"""Balanced error: against scikit-learn and closed forms, and by how often intervals cover."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from experiments.coverage.data import misread
from robust.metrics.balanced_error import balanced_error
from robust.metrics.by_group import ByGroup
from robust.metrics.intervals import clopper_pearson
from tests.metrics.test_intervals import holds, rarely


def test_it_is_1_less_the_balanced_accuracy() -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(4, 300, p=(0.6, 0.25, 0.1, 0.05))
    said = np.where(rng.random(300) < 0.6, labels, rng.integers(0, 4, 300))
    found = balanced_error(ByGroup(range(300)), said != labels, labels)
    assert found.value == pytest.approx(1 - balanced_accuracy_score(labels, said), abs=1e-12)
    assert (found.cases, found.groups) == (300, 300)


def test_one_class_has_the_interval_of_its_rate() -> None:
    rng = np.random.default_rng(1)
    wrong, by_group = rng.random(90) < 0.3, ByGroup((np.arange(90) // 3).tolist())
    assert balanced_error(by_group, wrong, np.full(90, 7)) == by_group.rate(wrong)


def test_classes_of_other_patients_add_in_squares() -> None:
    """Of independent rates p and q the half difference to either end is the root of squares."""
    labels = np.repeat([0, 1], [40, 120])
    wrong = np.concatenate([np.arange(40) < 10, np.arange(120) < 12])
    found = balanced_error(ByGroup(range(160)), wrong, labels)
    each = [ByGroup(range(n)).rate(np.arange(n) < k) for n, k in ((40, 10), (120, 12))]
    reach = [(one.high or 0) - one.value for one in each if one is not None]
    assert found.value == pytest.approx((0.25 + 0.1) / 2)
    assert found.high == pytest.approx(found.value + np.hypot(*reach) / 2, abs=1e-12)


def test_a_rare_class_without_an_error_leaves_open_what_its_groups_leave_open() -> None:
    labels = np.repeat([0, 1], [500, 6])
    found = balanced_error(ByGroup(range(506)), np.zeros(506), labels)
    assert found.value == 0.0 and found.low == 0.0
    ends = [clopper_pearson(0, n)[1] for n in (500, 6)]
    assert found.high == pytest.approx(np.hypot(*ends) / 2, abs=1e-9)


def test_classes_within_the_same_patients_do_not_add_independently() -> None:
    """Every patient has both classes and all its images are alike: nothing is gained by two."""
    rng = np.random.default_rng(2)
    wrong = np.repeat(rng.random(60) < 0.3, 2)
    both = balanced_error(ByGroup((np.arange(120) // 2).tolist()), wrong, np.arange(120) % 2)
    one = ByGroup(range(60)).rate(wrong[::2])
    assert one is not None and both.interval == pytest.approx(one.interval, abs=1e-9)


def test_a_class_in_fewer_than_5_groups_leaves_no_interval() -> None:
    labels = np.repeat([0, 1], [36, 4])
    found = balanced_error(ByGroup(range(40)), np.arange(40) % 2, labels)
    assert (found.value, found.interval, found.groups_needed) == (0.5, None, 50)


@pytest.mark.parametrize(
    ("groups", "kind", "alike", "labelled", "looks"),
    [
        (20, "rare class", 0.0, "image", 1),
        (50, "near 0", 0.5, "group", 5),
        (50, "five classes", 0.0, "image", 5),
        pytest.param(50, "collapsed", 1.0, "group", 1, marks=pytest.mark.slow),
        pytest.param(200, "even", 0.5, "image", 1, marks=pytest.mark.slow),
    ],
)
def test_intervals_hold_the_truth(
    groups: int, kind: str, alike: float, labelled: str, looks: int
) -> None:
    rng = np.random.default_rng([groups, *kind.encode()])
    held = tried = 0
    for _ in range(250):
        data = misread(rng, groups, kind, alike, labelled, looks)
        found = balanced_error(ByGroup(data.groups.tolist()), data.errors, data.labels)
        if found.interval is not None and data.complete:
            held, tried = held + holds(found, data.truth), tried + 1
    assert tried > 50 and not rarely(held, tried)


def test_the_mean_over_looks_covers_less_than_its_parts() -> None:
    """Five looks that are independent given the case know more than one of them."""
    rng = np.random.default_rng(3)
    labels, by_group = np.arange(200) % 2, ByGroup(range(200))
    looks = rng.random((5, 200)) < 0.3
    mean = balanced_error(by_group, looks.mean(0), labels)
    each = [balanced_error(by_group, look, labels) for look in looks]
    assert mean.value == pytest.approx(np.mean([one.value for one in each]), abs=1e-12)
    widths = [(one.high or 0) - (one.low or 0) for one in (mean, *each)]
    assert widths[0] < min(widths[1:])
