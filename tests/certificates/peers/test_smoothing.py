"""The radius from counts is that of statsmodels' interval of a proportion (`make peers`)."""

from __future__ import annotations

import pytest
from scipy.stats import norm

from robust.certificates.smoothing.randomized_smoothing import certified_radius

proportion = pytest.importorskip("statsmodels.stats.proportion", reason="needs make peers")


def test_the_radius_from_counts_is_that_of_the_beta_bound_of_statsmodels() -> None:
    for n in (100, 10_000, 100_000):
        for share in (0.2, 0.52, 0.7, 0.95, 0.9999, 1.0):
            for alpha in (0.001, 0.05):
                count = round(share * n)
                # Its interval has two sides: each has half of what it calls alpha.
                low, _ = proportion.proportion_confint(count, n, alpha=2 * alpha, method="beta")
                radius = 0.25 * norm.ppf(low) if low > 0.5 else 0.0
                assert certified_radius(count, n, 0.25, alpha) == pytest.approx(radius, abs=1e-9)
