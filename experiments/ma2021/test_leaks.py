"""The released protocol finds what is not there; ours does not."""

from __future__ import annotations

import pytest

from detectors import DeepFeatures, Detector, QuantizedFeatures
from experiments.ma2021.leaks import (
    UnitDensity,
    as_released_density,
    as_released_split,
    closed,
)


def test_a_density_fitted_on_what_it_scores() -> None:
    assert as_released_density(0.3) > 0.999
    value, null = closed(UnitDensity, 0.3)
    assert abs(value - 0.5) < 0.08 and abs(null - 0.5) < 0.05


@pytest.mark.parametrize(
    "make", [pytest.param(DeepFeatures, marks=pytest.mark.slow), QuantizedFeatures]
)
def test_copies_made_before_the_split(make: type[Detector]) -> None:
    assert as_released_split(make) == pytest.approx(0.875, abs=0.06)
    value, null = closed(make, 1.0)
    assert abs(value - 0.5) < 0.1 and abs(null - 0.5) < 0.05
