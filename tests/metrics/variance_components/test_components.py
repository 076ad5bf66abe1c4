"""Variance components: closed forms, statsmodels, nesting, and intervals that cover known truths."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from robust.errors import InputError
from robust.metrics.variance_components import variance_components
from robust.metrics.variance_components.factors import (
    indicators,
    is_nested,
    joint_span,
    level_codes,
    strata,
)
from robust.metrics.variance_components.reml import reml
from robust.records import VarianceComponent

Drawn = tuple[np.ndarray, dict[str, list[str]]]


def drawn(
    seed: int, sd: tuple[float, float, float], data: int = 6, seeds: int = 5, repeats: int = 2,
    nested: bool = False, left_out: int = 0,
) -> Drawn:  # fmt: skip
    """Numbers with standard deviations `sd` of data, seed and residual."""
    rng = np.random.default_rng(seed)
    outer = np.repeat(np.arange(data), seeds * repeats)
    inner = np.tile(np.repeat(np.arange(seeds), repeats), data)
    if nested:
        inner = outer * seeds + inner
    values = 0.8 + rng.normal(0, sd[0], data)[outer]
    values += rng.normal(0, sd[1], inner.max() + 1)[inner] + rng.normal(0, sd[2], len(outer))
    kept = np.sort(rng.permutation(len(outer))[left_out:])
    return values[kept], {
        "data": [f"d{i}" for i in outer[kept]],
        "seed": [f"s{i}" for i in inner[kept]],
    }


def by_source(values: Any, random: Any, fixed: Any = None) -> dict[str, VarianceComponent]:
    return {one.source: one for one in variance_components(values, fixed or {}, random)[0]}


def test_a_balanced_crossed_design_is_analysis_of_variance() -> None:
    values, random = drawn(1, (0.02, 0.02, 0.01))
    table = values.reshape(6, 5, 2)
    grand = values.mean()
    rows, columns = table.mean((1, 2)), table.mean((0, 2))
    squares = 10 * ((rows - grand) ** 2).sum() / 5, 12 * ((columns - grand) ** 2).sum() / 4
    left = ((values - grand) ** 2).sum() - 5 * squares[0] - 4 * squares[1]
    error = left / (60 - 1 - 5 - 4)
    found = by_source(values, random)
    assert found["data"].variance == pytest.approx((squares[0] - error) / 10, rel=1e-6)
    assert found["seed"].variance == pytest.approx((squares[1] - error) / 12, rel=1e-6)
    assert found["residual"].variance == pytest.approx(error, rel=1e-6)
    assert sum(one.share for one in found.values()) == pytest.approx(1)


def test_a_balanced_nested_design_is_analysis_of_variance() -> None:
    values, random = drawn(3, (0.03, 0.02, 0.01), nested=True)
    table = values.reshape(6, 5, 2)
    outer = 10 * table.mean((1, 2)).var(ddof=1)
    inner = 2 * table.mean(2).var(1, ddof=1).mean()
    error = table.var(2, ddof=1).mean()
    found = by_source(values, random)
    assert found["data"].variance == pytest.approx((outer - inner) / 10, rel=1e-6)
    assert found["seed"].variance == pytest.approx((inner - error) / 2, rel=1e-6)
    assert found["residual"].variance == pytest.approx(error, rel=1e-6)
    assert found["seed"].levels == 30


def test_unbalanced_estimates_are_those_of_statsmodels() -> None:
    models = pytest.importorskip("statsmodels.regression.mixed_linear_model")
    values, random = drawn(2, (0.03, 0.03, 0.01), left_out=13)
    columns = [indicators(level_codes(levels)) for levels in random.values()]
    fixed = np.ones((len(values), 1))
    parts = models.VCSpec(
        list(random),
        [[[str(level) for level in range(c.shape[1])]] for c in columns],
        [[c] for c in columns],
    )
    scale = values.std()
    model = models.MixedLM(values / scale, fixed, np.zeros(len(values)), exog_vc=parts)
    oracle = model.fit(reml=True, method=["bfgs"], gtol=1e-9)
    assert oracle.converged
    expected = [*oracle.vcomp * scale**2, oracle.scale * scale**2]
    assert reml(values, fixed, columns, []) == pytest.approx(expected, rel=1e-5)
    shares = [one.variance for one in by_source(values, random).values()]
    assert shares == pytest.approx(expected, rel=1e-5)


def test_repeats_of_one_source_have_the_exact_chi_square_interval() -> None:
    values = np.random.default_rng(0).normal(0, 1, 10)
    (only,), method, notes = variance_components(values, {}, {"seed": [str(i) for i in range(10)]})
    variance = values.var(ddof=1)
    assert only.source == "seed" and only.levels == 10 and "REML" in method
    assert only.variance == pytest.approx(variance, rel=1e-6)
    assert (only.low, only.high) == pytest.approx((9 * variance / 19.0228, 9 * variance / 2.70039), rel=1e-4)  # fmt: skip
    assert "Each seed has one number" in notes[0]


def test_fixed_axes_shift_the_mean_and_add_no_variance() -> None:
    values, random = drawn(4, (0.02, 0.02, 0.01))
    architecture = ["small", "large"] * 30
    shifted = values + np.where(np.array(architecture) == "small", 0.0, 5.0)
    plain = by_source(values, random, {"architecture": architecture})
    for name, one in by_source(shifted, random, {"architecture": architecture}).items():
        assert one.variance == pytest.approx(plain[name].variance, rel=1e-5)


def test_nested_and_crossed_follow_from_the_levels() -> None:
    crossed, nested = drawn(0, (1, 1, 1))[1], drawn(0, (1, 1, 1), nested=True)[1]
    for levels, expected in ((crossed, False), (nested, True)):
        codes = {name: level_codes(one) for name, one in levels.items()}
        assert is_nested(codes["seed"], codes["data"]) is expected
        assert not is_nested(codes["data"], codes["seed"])
        layers = strata(joint_span(np.ones((60, 1))), codes)
        assert layers is not None
        assert layers["data"].weights == pytest.approx({"data": 10, "seed": 2 * expected})
        assert layers["seed"].degrees == (24 if expected else 4)
    codes = {name: level_codes(one) for name, one in drawn(0, (1, 1, 1), left_out=7)[1].items()}
    assert strata(joint_span(np.ones((53, 1))), codes) is None


def test_few_levels_give_no_interval_and_say_why() -> None:
    values, random = drawn(0, (0.01, 0.01, 0.01), data=3)
    found = by_source(values, random)
    assert found["data"].low is None
    assert found["data"].why_no_interval == "3 levels of data: an interval needs at least 5"
    assert found["seed"].low is not None
    unbalanced = by_source(*drawn(0, (0.01, 0.01, 0.01), nested=True, left_out=9))
    assert "seed nested in it" in unbalanced["data"].why_no_interval


def test_an_estimate_at_zero_is_said_as_such() -> None:
    values = np.tile([1.0, 2.0, 3.0, 4.0, 5.0], 6)
    data = [f"d{i}" for i in np.repeat(range(6), 5)]
    seed = [f"s{i}" for i in np.random.default_rng(0).permuted(np.arange(30) % 5)]
    components, _, notes = variance_components(values, {}, {"data": data, "seed": seed})
    assert components[0].variance == 0 and components[0].low == 0
    assert any("data lies at 0" in note for note in notes)


def test_what_cannot_be_told_apart_is_named() -> None:
    values = np.random.default_rng(0).normal(0, 1, 12)
    seed = [str(i % 6) for i in range(12)]
    arms = ["a"] * 6 + ["b"] * 6
    random = {"seed": seed, "fold": [f"f{s}" for s in seed], "machine": arms, "data": ["x"] * 12}
    components, _, notes = variance_components(values, {"architecture": arms}, random)
    assert [one.source for one in components] == ["seed and fold", "residual"]
    said = " ".join(notes)
    for words in ("seed and fold change together", "machine changes only", "data has one level"):
        assert words in said
    assert variance_components([1.0, 2.0], {"a": ["x", "y"]}, {"seed": ["0", "1"]})[0] == ()
    silent = variance_components([0.9] * 12, {}, {"seed": seed})
    assert all(one.variance == 0 == one.share for one in silent[0]) and "no spread" in silent[2][0]


@pytest.mark.parametrize(
    ("values", "fixed", "random", "words"),
    [
        ([], {}, {}, "finite numbers"),
        ([1.0, float("nan")], {}, {}, "finite numbers"),
        ([1.0, 2.0], {}, {"seed": ["0"]}, "seed has 1 levels for 2 numbers"),
        ([1.0, 2.0], {"seed": ["0", "1"]}, {"seed": ["0", "1"]}, "name it once"),
    ],
)
def test_wrong_input_is_one_line(values: Any, fixed: Any, random: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        variance_components(values, fixed, random)


DESIGNS = {
    "crossed": {"sd": (0.02, 0.01, 0.01)},
    "crossed, no seed": {"sd": (0.02, 0.0, 0.01)},
    "nested": {"sd": (0.02, 0.01, 0.01), "nested": True},
    "unbalanced": {"sd": (0.01, 0.01, 0.02), "left_out": 20},
    "unbalanced nested": {"sd": (0.01, 0.01, 0.02), "nested": True, "left_out": 12},
}


def coverage(design: str, repeats: int) -> dict[str, float]:
    """Share of intervals that hold the truth, by source; of those sources that have one."""
    asked: Any = DESIGNS[design]
    held: dict[str, list[bool]] = {}
    for seed in range(repeats):
        values, random = drawn(seed, **asked)
        truth = dict(zip(("data", "seed", "residual"), np.square(asked["sd"]), strict=True))
        for one in by_source(values, random).values():
            if one.low is not None and one.high is not None:
                assert one.low <= one.variance <= one.high
                held.setdefault(one.source, []).append(one.low <= truth[one.source] <= one.high)
    return {source: float(np.mean(one)) for source, one in held.items()}


@pytest.mark.parametrize("design", ["nested", "unbalanced"])
def test_intervals_cover_in_a_few_repeats(design: str) -> None:
    assert min(coverage(design, 20).values()) >= 0.75


@pytest.mark.slow
@pytest.mark.parametrize("design", DESIGNS)
def test_intervals_cover_in_at_least_93_percent_of_500_repeats(design: str) -> None:
    found = coverage(design, 500)
    assert len(found) >= 2 and min(found.values()) >= 0.93, found


def test_the_same_numbers_give_the_same_bytes() -> None:
    drawn_once = drawn(5, (0.02, 0.01, 0.01), left_out=9)
    one, other = (variance_components(drawn_once[0], {}, drawn_once[1]) for _ in range(2))
    assert repr(one) == repr(other)
