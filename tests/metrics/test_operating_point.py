"""Detection at a fixed false-alarm rate: what the intervals hold, and where there is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from robust.errors import InputError
from robust.metrics.arrays import Array, Places
from robust.metrics.by_group import ByGroup
from robust.metrics.operating_point import (
    FalseAlarms,
    GroupedScores,
    conformal_threshold,
    detection_rate,
    fewest_groups_for,
    groups_needed_for,
    known_false_alarms,
    threshold,
)


def normal(rng: np.random.Generator, groups: Places, within: float) -> Array:
    """Scores N(0, 1) with this correlation within groups."""
    shared = rng.standard_normal(int(groups.max()) + 1)[groups]
    own = rng.standard_normal(len(groups))
    mixed: Array = np.sqrt(within) * shared + np.sqrt(1 - within) * own
    return mixed


def alone(scores: Array) -> GroupedScores:
    """Each image in a group of its own."""
    return GroupedScores(scores, np.arange(len(scores)))


@pytest.mark.parametrize(
    ("count", "size", "within", "auc", "rate", "least_gain"),
    [(100, 1, 0.0, 0.95, 0.05, 0.05), (60, 2, 0.8, 0.95, 0.1, 0.0), (400, 1, 0.0, 0.8, 0.01, 0.05)],
)
def test_the_interval_holds_the_rate_at_the_true_threshold(
    count: int, size: int, within: float, auc: float, rate: float, least_gain: float
) -> None:
    """In 95 of 100 runs; an interval that takes the threshold for known does so far less often."""
    rng = np.random.default_rng(0)
    groups = np.arange(count).repeat(size)
    mean = np.sqrt(2) * stats.norm.ppf(auc)
    truth = stats.norm.sf(stats.norm.isf(rate) - mean)
    held, known = [], []
    for run in range(300):
        clean = normal(rng, groups, within)
        attacked = mean + clean / 2 + np.sqrt(0.75) * normal(rng, groups, within)
        fell = rng.random(len(groups)) < 0.7
        found = detection_rate(
            GroupedScores(clean, groups), GroupedScores(attacked[fell], groups[fell]), rate
        )
        assert found is not None and found.interval is not None
        held.append(found.interval[0] <= truth <= found.interval[1])
        if run < 100:
            flagged = attacked > threshold(clean, rate)
            before = ByGroup(groups.tolist()).rate(flagged, fell)
            assert before is not None and before.interval is not None
            known.append(before.interval[0] <= truth <= before.interval[1])
    assert 0.93 <= np.mean(held) < 0.995
    assert np.mean(known) < np.mean(held) - least_gain


def test_how_many_clean_groups_a_figure_takes() -> None:
    assert [groups_needed_for(rate) for rate in (0.01, 0.05, 0.1)] == [368, 72, 36]
    assert [fewest_groups_for(rate) for rate in (0.01, 0.05, 0.1)] == [200, 40, 20]
    # Of so many clean images one lies above the true threshold in at least 97.5 of 100 runs.
    assert stats.binom.sf(0, 72, 0.05) >= 0.975 > stats.binom.sf(0, 71, 0.05)


@pytest.mark.parametrize(
    ("count", "has_figure", "needed"),
    [(100, False, None), (199, False, None), (200, True, 368), (367, True, 368), (368, True, None)],
)
def test_few_clean_images_give_no_interval_and_fewer_no_figure(
    count: int, has_figure: bool, needed: int | None
) -> None:
    rng = np.random.default_rng(0)
    clean = GroupedScores(rng.normal(size=count), np.arange(count))
    found = detection_rate(clean, GroupedScores(rng.normal(2, 1, 60), np.arange(60)), 0.01)
    assert (found is not None) == has_figure
    if found is not None:
        assert (found.interval is None) == (needed is not None)
        assert (found.groups_needed, found.cases, found.groups) == (needed, 60, 60)


def test_images_of_one_patient_count_as_one_patient() -> None:
    """100 patients with one image and one with 300: no 400 clean groups."""
    rng = np.random.default_rng(0)
    groups = np.r_[np.arange(100), np.full(300, 100)]
    positive = GroupedScores(rng.normal(2, 1, 100), np.arange(100))
    clean = GroupedScores(rng.normal(size=400), groups)
    assert detection_rate(clean, positive, 0.05) is None
    alone = detection_rate(GroupedScores(clean.scores[:100], groups[:100]), positive, 0.05)
    assert alone is not None and alone.interval is not None


def test_each_image_twice_tells_nothing_new() -> None:
    rng = np.random.default_rng(1)
    groups = np.arange(120)
    clean, attacked = rng.normal(size=120), rng.normal(1.5, 1, 120)
    one = detection_rate(GroupedScores(clean, groups), GroupedScores(attacked, groups), 0.1)
    both = groups.repeat(2)
    two = detection_rate(
        GroupedScores(clean.repeat(2), both), GroupedScores(attacked.repeat(2), both), 0.1
    )
    assert one is not None and two is not None and one.interval is not None
    assert two.interval == pytest.approx(one.interval, abs=0.02)
    assert (two.cases, two.groups) == (240, 120)


def test_edges() -> None:
    rng = np.random.default_rng(0)
    groups = np.arange(100)
    clean = GroupedScores(rng.normal(size=100), groups)
    nothing = GroupedScores(np.zeros(0), np.zeros(0, np.int64))
    assert detection_rate(clean, nothing, 0.05) is None
    every = detection_rate(clean, GroupedScores(np.full(50, 9.0), groups[:50]), 0.05)
    assert every is not None and (every.value, every.high) == (1.0, 1.0)
    assert every.low is not None and 0.9 < every.low < 0.95
    none = detection_rate(clean, GroupedScores(np.full(50, -9.0), groups[:50]), 0.05)
    assert none is not None and (none.value, none.low) == (0.0, 0.0)
    # An image without a score is flagged, and clean ones without a score raise the threshold.
    unknown = detection_rate(clean, GroupedScores(np.full(50, np.nan), groups[:50]), 0.05)
    assert unknown == every
    spoiled = GroupedScores(np.where(groups < 20, np.nan, clean.scores), groups)
    assert threshold(spoiled.scores, 0.05) == np.inf
    lost = detection_rate(spoiled, GroupedScores(np.full(50, 9.0), groups[:50]), 0.05)
    assert lost is not None and lost.value == 0.0
    single = detection_rate(clean, GroupedScores(np.full(3, 1.0), np.zeros(3, np.int64)), 0.05)
    assert single is not None and (single.interval, single.groups_needed) == (None, 5)


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.05, 0.1, 0.333, 1.0])
def test_at_most_this_share_of_the_clean_images_exceeds_the_threshold(rate: float) -> None:
    clean = np.random.default_rng(0).normal(size=137)
    assert threshold(clean, rate) == np.quantile(clean, 1 - rate, method="higher")
    assert (clean > threshold(clean, rate)).mean() <= rate


QUICK = {(100, 0.01), (119, 0.05), (120, 0.1), (137, 0.37)}
"""Each number of clean images and each share once."""


@pytest.mark.parametrize(
    ("count", "share"),
    [
        pytest.param(count, share, marks=() if (count, share) in QUICK else pytest.mark.slow)
        for count in (100, 119, 120, 137)
        for share in (0.01, 0.05, 0.1, 0.37)
    ],
)
def test_a_further_clean_image_exceeds_the_threshold_as_seldom_as_promised(
    count: int, share: float
) -> None:
    rng = np.random.default_rng(0)
    # Scores are uniform, so that what lies above a threshold is known exactly.
    above = [1 - conformal_threshold(alone(rng.random(count)), share) for _ in range(4000)]
    error = 4 * float(np.std(above)) / np.sqrt(len(above))
    assert share - 1 / (count + 1) - error < np.mean(above) < share + error


def test_too_few_clean_images_for_a_promise() -> None:
    assert conformal_threshold(alone(np.arange(19.0)), 0.05) == 18
    with pytest.raises(
        InputError, match=r"18 clean images .* 0.05 false alarms need 19 groups or more"
    ):
        conformal_threshold(alone(np.arange(18.0)), 0.05)


@pytest.mark.parametrize(("count", "size"), [pytest.param(60, 1, marks=pytest.mark.slow), (50, 2)])
def test_the_true_false_alarm_rate_of_a_guard_lies_where_it_says(count: int, size: int) -> None:
    rng = np.random.default_rng(0)
    groups = np.arange(count).repeat(size)
    held, counted, told, true = [], [], [], []
    for _ in range(400):
        clean = normal(rng, groups, 0.6)
        grouped = GroupedScores(clean, groups)
        limit = conformal_threshold(grouped, 0.1)
        known, rate = known_false_alarms(grouped, limit), stats.norm.sf(limit)
        held.append(known.interval[0] <= rate <= known.interval[1])
        few, many = known.count_interval(40)
        counted.append(few <= rng.binomial(40, rate) <= many)
        told.append(known.expected)
        true.append(rate)
    assert 0.93 <= np.mean(held) <= 0.985
    assert 0.94 <= np.mean(counted) <= 0.995
    assert np.mean(told) == pytest.approx(np.mean(true), abs=0.01)
    assert np.mean(true) < 0.105


def test_the_interval_of_a_false_alarm_rate_is_that_of_an_order_statistic() -> None:
    clean = GroupedScores(np.arange(99.0), np.arange(99))
    known = known_false_alarms(clean, conformal_threshold(clean, 0.05))
    assert known == FalseAlarms(pytest.approx(5), pytest.approx(5), pytest.approx(100))
    assert known.expected == pytest.approx(0.05)
    assert known.interval == pytest.approx(stats.beta.ppf([0.025, 0.975], 5, 95), abs=1e-6)
    # Equal scores: fewer lie above the threshold than asked for, perhaps none.
    tied = replace(clean, scores=np.minimum(clean.scores, 90.0))
    known = known_false_alarms(tied, conformal_threshold(tied, 0.05))
    assert known.interval[0] == 0.0 and known.interval[1] == pytest.approx(1 - 0.025 ** (1 / 99))
    assert known.count_interval(20)[0] == 0
