"""Intervals: against closed forms, against scikit-learn, and by counting how often they cover."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats
from sklearn.metrics import roc_auc_score

from robust.metrics import bootstrap as stats
from robust.metrics.bootstrap import Bootstrap, auc, clopper_pearson


def test_clopper_pearson_against_the_binomial_test() -> None:
    for hits, trials in [(0, 10), (10, 10), (3, 17), (520, 624)]:
        exact = scipy_stats.binomtest(hits, trials).proportion_ci(0.95, method="exact")
        assert clopper_pearson(hits, trials) == pytest.approx((exact.low, exact.high), abs=1e-12)


def test_auc_against_scikit_learn_with_ties_and_weights() -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 12, 300).astype(float)
    positive = rng.random(300) < 0.4
    weights = rng.integers(0, 4, (5, 300)).astype(float)
    assert auc(scores, positive)[0] == pytest.approx(roc_auc_score(positive, scores), abs=1e-12)
    for row, value in zip(weights, auc(scores, positive, weights), strict=True):
        wanted = roc_auc_score(positive, scores, sample_weight=row)
        assert value == pytest.approx(wanted, abs=1e-12)


def test_a_rate_at_the_edge_is_bounded_by_the_number_of_groups_not_of_images() -> None:
    groups = [i // 10 for i in range(100)]
    found = Bootstrap(groups).rate(np.ones(100))
    assert found is not None
    assert (found.value, found.high, found.groups, found.cases) == (1.0, 1.0, 10, 100)
    assert found.low == pytest.approx(0.025 ** (1 / 10))


def test_one_group_says_nothing() -> None:
    found = Bootstrap(["a"] * 50).rate(np.arange(50) < 20)
    assert found is not None
    assert found.value == 0.4
    assert found.low < 0.05 and found.high > 0.95


def test_images_of_one_patient_widen_the_interval() -> None:
    rng = np.random.default_rng(1)
    right = np.repeat(rng.random(60) < 0.7, 10)
    by_image = Bootstrap(list(range(600))).rate(right)
    by_patient = Bootstrap([i // 10 for i in range(600)]).rate(right)
    assert by_image is not None and by_patient is not None
    ratio = (by_patient.high - by_patient.low) / (by_image.high - by_image.low)
    assert ratio == pytest.approx(np.sqrt(10), rel=0.15)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for trial in range(200):
        patients = rng.beta(4, 2, 50)
        right = rng.random((50, 4)) < patients[:, None]
        groups = np.repeat(np.arange(50), 4).tolist()
        found = Bootstrap(groups, draws=300, seed=trial).rate(right.ravel())
        assert found is not None
        covered += found.low <= 4 / 6 <= found.high
    assert 180 <= covered <= 199


def test_many_rates_at_once_equal_single_ones() -> None:
    rng = np.random.default_rng(3)
    bootstrap = Bootstrap(rng.integers(0, 40, 200).tolist())
    columns = [(rng.random(200) < p, rng.random(200) < 0.8) for p in (0.1, 0.5, 0.9)]
    together = bootstrap.rates(columns)
    for (values, mask), found in zip(columns, together, strict=True):
        alone = bootstrap.rate(values, mask)
        assert alone is not None and found is not None
        assert found.value == pytest.approx(float(values[mask].mean()), abs=1e-12)
        assert (found.low, found.high) == pytest.approx((alone.low, alone.high), abs=1e-6)
    assert bootstrap.rate(np.ones(200), np.zeros(200, bool)) is None


def test_median_and_its_interval() -> None:
    rng = np.random.default_rng(4)
    values = rng.exponential(size=400)
    found = Bootstrap(list(range(400)), draws=2000).median(values, np.ones(400, bool))
    assert found is not None
    assert found.value == np.median(values)
    ordered = np.sort(values)
    # The exact interval of a median lies at ranks n/2 +- 1.96 sqrt(n)/2.
    assert found.low == pytest.approx(ordered[180], rel=0.05)
    assert found.high == pytest.approx(ordered[219], rel=0.05)


def test_auc_interval_against_delongs_variance() -> None:
    rng = np.random.default_rng(5)
    positive = np.arange(400) < 200
    scores = rng.normal(size=400) + positive
    found = Bootstrap(list(range(400))).auc(scores, positive, np.ones(400, bool))
    assert found is not None
    wins = (scores[:200, None] > scores[None, 200:]).astype(float)
    spread = np.sqrt(wins.mean(1).var(ddof=1) / 200 + wins.mean(0).var(ddof=1) / 200)
    assert found.value == pytest.approx(wins.mean(), abs=1e-12)
    assert found.high - found.low == pytest.approx(2 * 1.96 * spread, rel=0.12)


def test_more_groups_than_units_keep_their_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dealt into units, as wide as theory says; the counts are those of the groups."""
    monkeypatch.setattr(stats, "MAX_UNITS", 2_000)
    rng = np.random.default_rng(0)
    positive = np.arange(3_000) < 900
    scores = rng.normal(size=3_000) + positive
    groups = np.arange(3_000).repeat(2).tolist()  # each image twice: nothing new
    bootstrap = Bootstrap(groups)
    rate = bootstrap.rate(positive.repeat(2))
    assert rate is not None and (rate.cases, rate.groups) == (6_000, 3_000)
    assert rate.high - rate.low == pytest.approx(2 * 1.96 * (0.3 * 0.7 / 3_000) ** 0.5, rel=0.12)
    found = bootstrap.auc(scores.repeat(2), positive.repeat(2), np.ones(6_000, bool))
    wins = (scores[:900, None] > scores[None, 900:]).astype(float)
    spread = np.sqrt(wins.mean(1).var(ddof=1) / 900 + wins.mean(0).var(ddof=1) / 2_100)
    assert found is not None and found.groups == 3_000
    assert found.high - found.low == pytest.approx(2 * 1.96 * spread, rel=0.12)
