"""Means over training runs: the interval covers the truth over runs and test cases."""

from __future__ import annotations

import numpy as np
import pytest

from robust.metrics.multiple_tests import p_value_of_zero
from robust.metrics.run_means import mean_over_runs
from robust.records import Estimate


@pytest.mark.parametrize("runs", [2, 3, 8])
@pytest.mark.parametrize("between", [0.0, 0.03])
def test_the_interval_covers_where_runs_share_their_test_cases(runs: int, between: float) -> None:
    rng, held = np.random.default_rng(runs), 0
    shared, own, truth = 0.02, 0.01, 0.5
    reach = 1.96 * float(np.hypot(shared, own))
    for _ in range(500):
        cases = shared * rng.standard_normal()
        values = truth + cases + np.hypot(own, between) * rng.standard_normal(runs)
        mean = mean_over_runs([Estimate(v, v - reach, v + reach, 100, 100) for v in values])
        assert mean.low is not None and mean.high is not None
        held += mean.low <= truth <= mean.high
    assert held >= 0.93 * 500


def test_one_run_keeps_its_interval() -> None:
    one = Estimate(0.5, 0.4, 0.7, 20, 10)
    assert mean_over_runs([one]) is one


def test_there_is_no_interval_where_a_run_has_none() -> None:
    mean = mean_over_runs([Estimate(0.5, 0.4, 0.6, 20, 10), Estimate(0.7, None, None, 20, 10, 15)])
    assert (mean.value, mean.interval, mean.groups_needed) == (pytest.approx(0.6), None, 15)


def test_a_share_stays_within_its_bounds() -> None:
    mean = mean_over_runs([Estimate(0.9, 0.8, 1.0, 20, 10), Estimate(0.2, 0.1, 0.3, 20, 10)])
    assert mean.interval == (0.0, 1.0)


@pytest.mark.parametrize(("low", "below"), [(0.001, True), (-0.001, False)])
def test_a_p_value_agrees_with_its_interval(low: float, below: bool) -> None:
    assert (p_value_of_zero(Estimate(0.05, low, 0.099, 50, 20)) < 0.05) == below


def test_a_p_value_is_that_of_the_t_test() -> None:
    from scipy import stats

    sample = np.random.default_rng(1).normal(0.5, 1, 12)
    low, high = stats.ttest_1samp(sample, 0).confidence_interval(0.95)
    found = p_value_of_zero(Estimate(float(sample.mean()), float(low), float(high), 12, 12))
    assert found == pytest.approx(stats.ttest_1samp(sample, 0).pvalue, rel=1e-9)


def test_no_interval_shows_nothing() -> None:
    assert p_value_of_zero(Estimate(0.5, None, None, 3, 3)) == 1
