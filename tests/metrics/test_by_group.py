"""Intervals: against closed forms, against scikit-learn, and by counting how often they cover."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from robust.metrics import by_group
from robust.metrics.by_group import ByGroup, auc
from robust.records import Estimate


def width(found: Estimate | None) -> float:
    assert found is not None and found.interval is not None
    return found.interval[1] - found.interval[0]


def test_auc_against_scikit_learn_with_ties() -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 12, 300).astype(float)
    positive = rng.random(300) < 0.4
    assert auc(scores, positive) == pytest.approx(roc_auc_score(positive, scores), abs=1e-12)
    assert np.isnan(auc(scores, np.zeros(300, bool)))


def test_a_rate_at_the_edge_is_bounded_by_the_number_of_groups_not_of_images() -> None:
    groups = [i // 10 for i in range(100)]
    found = ByGroup(groups).rate(np.ones(100))
    assert found is not None
    assert (found.value, found.high, found.groups, found.cases) == (1.0, 1.0, 10, 100)
    assert found.low == pytest.approx(0.025 ** (1 / 10))


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_a_few_groups_get_no_interval_and_are_told_how_many_it_takes(groups: int) -> None:
    codes = (np.arange(50) % groups).tolist()
    rate = ByGroup(codes).rate(np.arange(50) < 20)
    median = ByGroup(codes).median(np.arange(50.0), np.ones(50, bool))
    mean = ByGroup(codes).mean(np.arange(50.0), np.ones(50, bool), 50.0)
    for found, value in ((rate, 0.4), (median, 24.5), (mean, 24.5)):
        assert found is not None and found.value == value
        assert found.interval is None and found.groups_needed == 5


def test_an_auc_needs_ten_groups_on_either_side() -> None:
    positive = np.arange(40) < 8
    found = ByGroup(range(40)).auc(np.arange(40.0), positive, np.ones(40, bool))
    assert found is not None and (found.value, found.groups_needed) == (0.0, 50)
    assert found.interval is None


def test_images_of_one_patient_widen_the_interval() -> None:
    rng = np.random.default_rng(1)
    right = np.repeat(rng.random(60) < 0.7, 10)
    by_image = ByGroup(list(range(600))).rate(right)
    by_patient = ByGroup([i // 10 for i in range(600)]).rate(right)
    ratio = width(by_patient) / width(by_image)
    assert ratio == pytest.approx(np.sqrt(10), rel=0.15)


def test_many_rates_at_once_equal_single_ones() -> None:
    rng = np.random.default_rng(3)
    by_group = ByGroup(rng.integers(0, 40, 200).tolist())
    columns = [(rng.random(200) < p, rng.random(200) < 0.8) for p in (0.1, 0.5, 0.9)]
    together = by_group.rates(columns)
    for (values, mask), found in zip(columns, together, strict=True):
        alone = by_group.rate(values, mask)
        assert alone is not None and found is not None
        assert found.value == pytest.approx(float(values[mask].mean()), abs=1e-12)
        assert (found.low, found.high) == pytest.approx((alone.low, alone.high), abs=1e-6)
    assert by_group.rate(np.ones(200), np.zeros(200, bool)) is None


def test_median_and_its_interval() -> None:
    rng = np.random.default_rng(4)
    values = rng.exponential(size=400)
    found = ByGroup(list(range(400))).median(values, np.ones(400, bool))
    assert found is not None
    assert found.value == np.median(values)
    ordered = np.sort(values)
    # The exact interval of a median lies at ranks n/2 +- 1.96 sqrt(n)/2.
    assert found.low == pytest.approx(ordered[180], rel=0.05)
    assert found.high == pytest.approx(ordered[219], rel=0.05)


def test_a_mean_has_a_t_interval_with_a_group_at_the_bound() -> None:
    rng = np.random.default_rng(8)
    values = rng.beta(20, 3, 25) * 30
    found = ByGroup(range(25)).mean(values, np.ones(25, bool), 30.0)
    assert found is not None and (found.cases, found.groups) == (25, 25)
    assert found.value == pytest.approx(values.mean(), abs=1e-12)
    for end, bound, place in ((found.low, 0.0, 0), (found.high, 30.0, 1)):
        joined = np.append(values, bound)
        student = stats.t.interval(0.95, 25, joined.mean(), stats.sem(joined))
        assert end == pytest.approx(min(student[place], 30.0), abs=1e-9)


def test_a_mean_goes_by_group_and_scales() -> None:
    rng = np.random.default_rng(9)
    groups, values = np.arange(120) // 4, rng.random(120)
    every, some = np.ones(120, bool), rng.random(120) < 0.7
    grouped = ByGroup(groups.tolist())
    one, order = grouped.mean(values, some), rng.permutation(120)
    assert one is not None and one.value == pytest.approx(values[some].mean(), abs=1e-12)
    moved = ByGroup(groups[order].tolist()).mean(values[order], some[order])
    larger = grouped.mean(7 * values, some, 7.0)
    assert moved is not None and larger is not None
    assert (moved.value, moved.low, moved.high) == pytest.approx((one.value, one.low, one.high))
    wanted = [7 * end for end in (one.value, one.low or 0, one.high or 0)]
    assert (larger.value, larger.low, larger.high) == pytest.approx(tuple(wanted))
    same = grouped.mean(np.repeat(values[:30], 4), every)
    single = ByGroup(range(30)).mean(values[:30], np.ones(30, bool))
    assert width(same) == pytest.approx(width(single), abs=1e-12)
    assert grouped.mean(values, ~every) is None


def test_means_at_a_bound() -> None:
    for value, most in ((0.0, 1.0), (5.0, 5.0)):
        found = ByGroup(range(12)).mean(np.full(12, value), np.ones(12, bool), most)
        assert found is not None and found.interval is not None
        low, high = found.interval
        assert (low, high) == ((0.0, high) if value == 0 else (low, 5.0))
        # A share of .3 unseen in 12 groups has a chance of 1 in 70.
        assert high - low == pytest.approx(0.24 * most, abs=0.02 * most)


def test_auc_interval_against_delongs_variance() -> None:
    rng = np.random.default_rng(5)
    positive = np.arange(400) < 200
    scores = rng.normal(size=400) + positive
    found = ByGroup(list(range(400))).auc(scores, positive, np.ones(400, bool))
    assert found is not None
    wins = (scores[:200, None] > scores[None, 200:]).astype(float)
    spread = np.sqrt(wins.mean(1).var(ddof=1) / 200 + wins.mean(0).var(ddof=1) / 200)
    assert found.value == pytest.approx(wins.mean(), abs=1e-12)
    assert width(found) == pytest.approx(2 * 1.96 * spread, rel=0.12)


def test_the_jackknife_of_an_auc_leaves_out_one_group_at_a_time() -> None:
    rng = np.random.default_rng(6)
    groups, positive = rng.integers(0, 30, 200), rng.random(200) < 0.4
    scores = np.round(rng.normal(size=200) + positive, 1)
    without = [roc_auc_score(positive[groups != one], scores[groups != one]) for one in range(30)]
    pairs = by_group._Pairs.of(scores, positive, groups)
    assert pairs.area == pytest.approx(roc_auc_score(positive, scores), abs=1e-12)
    found = pairs.precision().variance
    assert found == pytest.approx(29 / 30 * np.sum((without - np.mean(without)) ** 2), rel=1e-9)


def test_infinite_scores_rank_last() -> None:
    positive = np.arange(40) % 2 == 0
    finite = np.where(positive, 1e6, np.arange(40.0))
    infinite = np.where(positive, np.inf, np.arange(40.0))
    every = np.ones(40, bool)
    assert ByGroup(range(40)).auc(finite, positive, every) == ByGroup(range(40)).auc(
        infinite, positive, every
    )


def test_the_mean_of_the_classes_areas_varies_less_than_each() -> None:
    rng = np.random.default_rng(7)
    labels = rng.integers(0, 3, 300)
    logits = rng.normal(size=(300, 3)) + 1.5 * np.eye(3)[labels]
    grouped, every = ByGroup(range(300)), np.ones(300, bool)
    columns = [(logits[:, k], labels == k) for k in range(3)]
    each = [grouped.auc(*column, every) for column in columns]
    mean = grouped.mean_auc(columns, every)
    wanted = np.mean([roc_auc_score(labels == k, logits[:, k]) for k in range(3)])
    assert mean is not None and mean.value == pytest.approx(wanted, abs=1e-12)
    assert width(mean) < min(map(width, each))
    assert grouped.mean_auc([*columns, (logits[:, 0], labels == 9)], every) == mean
