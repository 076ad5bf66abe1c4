"""Learning curves and spread of a sweep whose numbers were drawn from known laws."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import pytest

from robust.records import Estimate
from robust.records.sweep import SweepAxis, SweepMember, SweepNumber, SweepReport
from robust.sweeps.analyse import Analysis, analyse

IMAGES = {"0.05": 50, "0.1": 100, "0.2": 200, "0.4": 400, "0.8": 800}
SEEDS = tuple("01234")
LAWS = {
    ("small", "clean accuracy"): (0.05, 1.5, 0.5),
    ("small", "robust accuracy"): (0.3, 2.0, 0.5),
    ("large", "clean accuracy"): (0.02, 4.0, 0.8),
    ("large", "robust accuracy"): (0.2, 6.0, 0.8),
}
CONDITIONS = {"clean accuracy": "clean", "robust accuracy": "worst case, Linf 1/255"}
NOISE = 0.004


def drawn(*, fractions: bool, kind: str = "fixed") -> SweepReport:
    """Two architectures x five seeds, with or without five shares of the training set."""
    rng = np.random.default_rng(7)
    axes = [SweepAxis("architecture", ("small", "large")), SweepAxis("seed", SEEDS, "random")]
    if fractions:
        axes.append(SweepAxis("train fraction", tuple(IMAGES), kind))  # type: ignore[arg-type]
    members, numbers = [], []
    for levels in itertools.product(*(axis.levels for axis in axes)):
        own = dict(zip((axis.name for axis in axes), levels, strict=True))
        images = IMAGES[own["train fraction"]] if fractions else 800
        name = ", ".join(levels)
        members.append(SweepMember(name, own, "", train_images=images))
        for (architecture, measure), (a, b, c) in LAWS.items():
            if architecture == own["architecture"]:
                value = 1 - (a + b * images**-c) + rng.normal(0, NOISE)
                estimate = Estimate(value, None, None, 100, 100)
                numbers.append(SweepNumber(name, measure, CONDITIONS[measure], estimate))
        numbers.append(SweepNumber(name, "corrupted error", "fog", Estimate(0.5, None, None, 1, 1)))
    return SweepReport("Drawn", tuple(axes), tuple(members), tuple(numbers))


def analysed(sweep: SweepReport, wanted: Mapping[str, float] | None = None) -> SweepReport:
    return analyse(Analysis(sweep, {}, {}, wanted or {}))


@pytest.fixture(scope="module")
def curved() -> SweepReport:
    return analysed(drawn(fractions=True), {"clean accuracy": 0.9, "robust acuracy": 0.5})


def test_each_level_and_measure_has_its_curve_and_law(curved: SweepReport) -> None:
    found = {(curve.series, curve.measure): curve for curve in curved.curves}
    assert len(found) == len(curved.curves)
    assert set(found) == {(f"architecture {name}", measure) for name, measure in LAWS}
    for (name, measure), (a, _, c) in LAWS.items():
        curve = found[f"architecture {name}", measure]
        assert curve.condition == CONDITIONS[measure]
        assert [(p.images, p.models) for p in curve.points] == [(n, 5) for n in IMAGES.values()]
        for one, truth in ((curve.exponent, c), (curve.asymptote, a)):
            assert one is not None and one.low is not None
            assert one.low <= truth <= (one.high or np.inf)
        assert curve.exponent is not None and curve.exponent.high is not None
        assert curve.exponent.value == pytest.approx(c, rel=0.5)


def test_what_is_wanted_is_asked_of_its_measure_alone(curved: SweepReport) -> None:
    for curve in curved.curves:
        asked = [one.value for one in curve.wanted]
        assert asked == ([0.9] if curve.measure == "clean accuracy" else [])
    (small,) = [c for c in curved.curves if c.wanted and c.series == "architecture small"]
    (one,) = small.wanted
    assert one.images == pytest.approx((1.5 / 0.05) ** 2, rel=0.3)
    assert one.low is not None and one.low <= 900 and (one.high is None or one.high >= 900)


def test_a_measure_that_no_curve_has_is_named(curved: SweepReport) -> None:
    (note,) = [note for note in curved.notes if "learning curve" in note]
    assert "no learning curve is of robust acuracy" in note and "robust accuracy" in note


def test_draws_of_fractions_are_no_level_of_a_series() -> None:
    sweep = drawn(fractions=True, kind="random")
    assert {c.series for c in analysed(sweep).curves} == {
        "architecture small",
        "architecture large",
    }


def test_members_whose_number_of_images_nobody_knows_are_in_no_curve() -> None:
    sweep = drawn(fractions=True)
    members = tuple(SweepMember(m.name, m.levels, "") for m in sweep.members)
    unknown = SweepReport(sweep.title, sweep.axes, members, sweep.numbers)
    assert not analysed(unknown).curves


def test_no_axis_of_fractions_gives_no_curve_and_the_spread_of_seeds() -> None:
    found = analysed(drawn(fractions=False))
    assert not found.curves
    (spread,) = [one for one in found.spread if one.measure == "clean accuracy"]
    (seed, residual) = spread.components
    assert (seed.source, seed.levels, residual.source) == ("seed", 5, "residual")
    assert residual.low is not None and residual.high is not None
    assert residual.low <= NOISE**2 <= residual.high
