"""Intervals of shares: against closed forms, and by how often they hold a known truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from experiments.coverage.data import chances, distances, images, mean_value, overlaps, scored
from robust.metrics.by_group import ByGroup
from robust.metrics.intervals import clopper_pearson, equal_groups, groups_needed
from robust.records import Estimate

LEAST = 0.93
"""Coverage that every kind of interval should have."""
REPEATS = 400


def rarely(held: int, repeats: int = REPEATS) -> bool:
    """Whether so few would come out in one of 1,000 tests if the true coverage were `LEAST`."""
    return bool(stats.binom.cdf(held, repeats, LEAST) < 0.001)


def holds(found: Estimate | None, truth: float) -> bool:
    assert found is not None and found.interval is not None
    return found.interval[0] <= truth <= found.interval[1]


def test_clopper_pearson_against_the_binomial_test() -> None:
    for hits, trials in [(0, 10), (10, 10), (3, 17), (520, 624)]:
        exact = stats.binomtest(hits, trials).proportion_ci(0.95, method="exact")
        assert clopper_pearson(hits, trials) == pytest.approx((exact.low, exact.high), abs=1e-12)


def test_groups_needed_is_the_least_number() -> None:
    for bound in (0.5, 0.85, 0.9, 0.95, 0.99):
        least = groups_needed(bound)
        assert clopper_pearson(least, least)[0] >= bound > clopper_pearson(least - 1, least - 1)[0]
    assert groups_needed(0.95) == 72


def test_equal_groups_after_kish() -> None:
    assert equal_groups(np.full(7, 3.0)) == pytest.approx(7)
    assert equal_groups(np.array([100.0, 1, 1])) == pytest.approx(102**2 / 10002)


def test_independent_images_have_the_exact_interval_of_their_number() -> None:
    """Korn and Graubard's size is the number of cases, corrected by t for the number of groups."""
    found = ByGroup(range(400)).rate(np.arange(400) < 120)
    size = 399 * (stats.norm.ppf(0.975) / stats.t.ppf(0.975, 399)) ** 2
    assert found is not None and found.interval is not None
    assert found.interval == pytest.approx(clopper_pearson(0.3 * size, size), abs=2e-4)


@pytest.mark.parametrize(
    ("groups", "alike", "rate"),
    # Among them those that percentiles of a bootstrap held in .88 to .90 of runs.
    [
        *((10, 0.0, 0.5), (20, 0.3, 0.02), (50, 1.0, 0.95)),
        *(pytest.param(*one, marks=pytest.mark.slow) for one in ((200, 1.0, 0.98), (50, 0.8, 0.1))),
    ],
)
def test_intervals_of_rates_hold_the_truth(groups: int, alike: float, rate: float) -> None:
    rng = np.random.default_rng([groups, int(100 * rate)])
    held = 0
    for _ in range(REPEATS):
        of = images(rng, groups)
        hits = rng.random(len(of)) < chances(rng, groups, rate, alike)[of]
        held += holds(ByGroup(of.tolist()).rate(hits), rate)
    assert not rarely(held)


@pytest.mark.parametrize(
    ("groups", "area", "prevalence", "kind", "alike"),
    [
        *((50, 0.99, 0.5, "group", 0.9), (20, 0.8, 1.0, "twin", 0.5)),
        pytest.param(200, 0.99, 0.2, "twin", 0.0, marks=pytest.mark.slow),
    ],
)
def test_intervals_of_an_auc_hold_the_truth(
    groups: int, area: float, prevalence: float, kind: str, alike: float
) -> None:
    rng = np.random.default_rng([groups, int(100 * area)])
    held = tried = 0
    for _ in range(REPEATS):
        data = scored(rng, groups, area, prevalence, kind, alike)
        every = np.ones(len(data.groups), bool)
        found = ByGroup(data.groups.tolist()).auc(data.scores, data.positive, every)
        if found is not None and found.interval is not None:
            held, tried = held + holds(found, area), tried + 1
    assert tried > 0.9 * REPEATS and not rarely(held, tried)


@pytest.mark.parametrize(
    ("groups", "alike"), [(10, 0.0), (20, 0.8), pytest.param(50, 0.3, marks=pytest.mark.slow)]
)
def test_intervals_of_medians_hold_the_truth(groups: int, alike: float) -> None:
    rng = np.random.default_rng(groups)
    held = 0
    for _ in range(REPEATS):
        of, values = distances(rng, groups, alike)
        found = ByGroup(of.tolist()).median(values, np.ones(len(of), bool))
        held += holds(found, 1.0)
    assert not rarely(held)


@pytest.mark.parametrize(
    ("groups", "alike", "kind"),
    # Among them those that a t interval and a bootstrap held in .4 to .8 of runs.
    [
        (10, 1.0, "rarely missed"),
        (30, 0.3, "well"),
        (40, 0.0, "attacked"),
        pytest.param(20, 0.8, "rarely missed", marks=pytest.mark.slow),
        pytest.param(40, 1.0, "distances", marks=pytest.mark.slow),
    ],
)
def test_intervals_of_means_hold_the_truth(groups: int, alike: float, kind: str) -> None:
    rng = np.random.default_rng([groups, *kind.encode()])
    held = 0
    for _ in range(REPEATS):
        of, values = overlaps(rng, groups, kind, alike)
        found = ByGroup(of.tolist()).mean(values, np.ones(len(of), bool))
        held += holds(found, mean_value(kind))
    assert not rarely(held)


@pytest.mark.parametrize(
    ("groups", "alike"),
    [
        *((72, 0.8), (144, 1.0)),
        *(pytest.param(*one, marks=pytest.mark.slow) for one in ((72, 0.0), (144, 0.3))),
    ],
)
def test_a_gate_rarely_passes_what_misses_it_by_a_hair(groups: int, alike: float) -> None:
    """Percentiles of a bootstrap let 6 to 12 of 100 pass."""
    rng = np.random.default_rng([groups, int(10 * alike)])
    passed = 0
    for _ in range(REPEATS):
        of = images(rng, groups)
        hits = rng.random(len(of)) < chances(rng, groups, 0.95 - 1e-6, alike)[of]
        found = ByGroup(of.tolist()).rate(hits)
        passed += found is not None and found.is_at_least(0.95)
    # So many would come out in one of 1,000 tests if 3.5 of 100 passed.
    assert stats.binom.sf(passed - 1, REPEATS, 0.035) > 0.001
