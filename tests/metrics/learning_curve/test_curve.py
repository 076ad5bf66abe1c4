"""Learning curves: constants recovered, intervals that cover, and warnings where no law is."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from scipy import optimize
from scipy.stats import norm

from robust.errors import InputError
from robust.metrics.learning_curve import fit_learning_curve
from robust.metrics.learning_curve.law import FittedLaw
from robust.metrics.learning_curve.misfit import misfit_text
from robust.metrics.learning_curve.noise import noise_weights

SIZES = np.repeat([50.0, 100, 200, 400, 800, 1600], 5)


def from_law(seed: int, a: float, b: float, c: float, noise: float) -> np.ndarray:
    drawn = a + b * SIZES**-c + np.random.default_rng(seed).normal(0, noise, len(SIZES))
    return np.asarray(np.clip(drawn, 0, 1))


def test_constants_of_exact_points_are_recovered() -> None:
    curve = fit_learning_curve(SIZES, 1 - (0.1 + 1.5 * SIZES**-0.5), wanted=[0.85])
    assert curve.asymptote is not None and curve.scale is not None and curve.exponent is not None
    assert curve.asymptote.value == pytest.approx(0.1, abs=2e-3)
    assert curve.exponent.value == pytest.approx(0.5, abs=0.01)
    assert curve.scale.value == pytest.approx(1.5, rel=0.03)
    assert curve.wanted[0].images == pytest.approx((1.5 / 0.05) ** 2, rel=0.01)


def test_the_region_is_that_of_a_general_optimiser() -> None:
    errors = from_law(3, 0.1, 1.5, 0.5, 0.01)
    law = FittedLaw(SIZES, errors, np.ones(len(SIZES)))

    def squares(at: Any) -> float:
        return float(((errors - at[0] - at[1] * (SIZES / 50) ** -at[2]) ** 2).sum())

    bounds = [(0, 1), (0, None), (0.02, 5)]
    best = optimize.minimize(squares, [0.1, 0.2, 0.5], bounds=bounds, tol=1e-14)
    assert law.least == pytest.approx(best.fun, rel=1e-4)
    room = {"type": "ineq", "fun": lambda at: 1e3 * (law.least + law.slack - squares(at))}
    found = law.values(6400)
    for sign, end in ((1, found[0]), (-1, found[1])):
        done = optimize.minimize(
            lambda at, sign=sign: sign * (at[0] + at[1] * 128.0 ** -at[2]),
            best.x, bounds=bounds, constraints=[room], method="SLSQP", tol=1e-12,
        )  # fmt: skip
        assert sign * done.fun == pytest.approx(end, abs=5e-4)


def test_the_number_of_images_lies_where_the_band_crosses() -> None:
    errors = from_law(1, 0.1, 1.5, 0.5, 0.01)
    curve = fit_learning_curve(SIZES, 1 - errors, wanted=[0.85, 0.99, 0.5])
    near, far, easy = curve.wanted
    assert near.images and near.low and near.high and near.low < near.images < near.high
    law = FittedLaw(SIZES, errors, noise_weights(SIZES, errors))
    assert law.values(near.low)[0] == pytest.approx(0.15, abs=1e-6)
    assert law.values(near.high)[1] == pytest.approx(0.15, abs=1e-6)
    assert far.images is None and "at most" in far.why_not
    assert easy.images and easy.images < 50
    assert all(p.low <= p.value <= p.high for p in curve.band if p.low and p.high)
    assert [p.models for p in curve.points] == [5] * 6 and curve.points[0].estimate.interval


def test_extrapolation_is_named() -> None:
    values = 1 - from_law(4, 0.05, 1.0, 0.3, 0.002)
    curve = fit_learning_curve(SIZES, values, wanted=[0.885])
    (one,) = curve.wanted
    assert not curve.misfit
    assert one.images and one.images > 6400 and "more than 4 times" in one.why_not


@pytest.mark.parametrize(
    ("errors", "words"),
    [
        (0.3 + 0 * SIZES + np.tile([0.01, -0.01, 0, 0.005, -0.005], 6), "does not fall"),
        (0.1 + 1.5 * SIZES**-0.5 + 0.2 * (SIZES == 400) + np.tile([0.01, -0.01, 0, 0.005, -0.005], 6), "rises from 200 to 400"),
        (0.3 - 0.2 * (SIZES > 300) + np.tile([0.01, -0.01, 0, 0.005, -0.005], 6), "does not fit"),
    ],
)  # fmt: skip
def test_what_no_law_fits_is_named(errors: np.ndarray, words: str) -> None:
    curve = fit_learning_curve(SIZES, 1 - errors, wanted=[0.65])
    assert words in curve.misfit
    assert curve.wanted[0].why_not


def test_few_sizes_are_not_fitted() -> None:
    curve = fit_learning_curve([10, 10, 20, 20, 40, 40], [0.5, 0.6] * 3, wanted=[0.9])
    assert curve.misfit == "3 sizes of training set: a curve needs at least 4"
    assert curve.exponent is None and curve.band == () and curve.wanted[0].images is None
    single = fit_learning_curve([10, 20, 40, 80, 160], [0.5, 0.6, 0.7, 0.75, 0.78])
    assert "no size has two models" in single.misfit and single.points[0].estimate.interval is None


@pytest.mark.parametrize(
    ("images", "values", "variances", "wanted", "words"),
    [
        ([1, 2], [0.5], None, [], "one value a model"),
        ([0, 2], [0.5, 0.5], None, [], "at least 1"),
        ([1, 2], [0.5, 1.5], None, [], r"\[0, 1\]"),
        ([1, 2], [0.5, 0.5], None, [2.0], r"\[0, 1\]"),
        ([1, 2], [0.5, 0.5], [0.0, 1.0], [], "positive"),
    ],
)
def test_wrong_input_is_one_line(
    images: Any, values: Any, variances: Any, wanted: Any, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        fit_learning_curve(images, values, variances, wanted)


LAWS = ((0.1, 1.5, 0.5, 0.01), (0.05, 1.0, 0.3, 0.01), (0.0, 1.5, 0.5, 0.02))


def law_coverage(law: tuple[float, float, float, float], repeats: int) -> list[float]:
    """Share of intervals that hold the exponent, the asymptote, and the curve at held-out sizes."""
    a, b, c, noise = law
    held = []
    for seed in range(repeats):
        errors = from_law(seed, a, b, c, noise)
        fitted = FittedLaw(SIZES, errors, noise_weights(SIZES, errors))
        pairs = [(fitted.exponents(), c), (fitted.values(math.inf), a)]
        pairs += [(fitted.values(n), a + b * n**-c) for n in (1100.0, 6400.0)]
        held.append([low - 1e-12 <= truth <= high + 1e-12 for (low, high), truth in pairs])
    return [float(one) for one in np.mean(held, 0)]


def test_intervals_cover_in_a_few_repeats() -> None:
    assert min(law_coverage(LAWS[0], 30)) >= 0.8


@pytest.mark.slow
@pytest.mark.parametrize("law", LAWS)
def test_intervals_cover_in_at_least_93_percent_of_500_repeats(
    law: tuple[float, float, float, float],
) -> None:
    found = law_coverage(law, 500)
    assert min(found) >= 0.93, found


def two_gaussians(seed: int, width: int, length: float, sizes: np.ndarray, eps: float) -> np.ndarray:  # fmt: skip
    """Errors `(2, n)`, clean and in L-inf of `eps`, of plug-in classifiers (Schmidt et al. 2018)."""
    rng = np.random.default_rng(seed)
    theta = np.full(width, length / width**0.5)
    found = []
    for n in sizes:
        w = theta + rng.normal(0, n**-0.5, width)
        margin, size = w @ theta, np.linalg.norm(w)
        found.append([norm.cdf(-margin / size), norm.cdf((eps * np.abs(w).sum() - margin) / size)])
    return np.array(found).T


def bayes_held(width: int, length: float, steps: int, repeats: int) -> tuple[float, float]:
    """Share in which the interval holds the Bayes error or a warning is raised; of warnings."""
    sizes = np.repeat(10.0 * 2.0 ** np.arange(steps), 5)
    bayes = float(norm.cdf(-length))
    held, warned = [], []
    for seed in range(repeats):
        clean, attacked = two_gaussians(seed, width, length, sizes, 0.05)
        assert (attacked > clean).all()
        fitted = FittedLaw(sizes, clean, noise_weights(sizes, clean))
        low, high = fitted.values(math.inf)
        warned.append(bool(misfit_text(fitted)))
        held.append(low <= bayes <= high or warned[-1])
    return float(np.mean(held)), float(np.mean(warned))


def test_a_plateau_that_fits_about_as_well_is_named() -> None:
    sizes = np.repeat(10.0 * 2.0 ** np.arange(6), 5)
    clean, _ = two_gaussians(86, 100, 1.0, sizes, 0.05)
    law = FittedLaw(sizes, clean, noise_weights(sizes, clean))
    low, high = law.values(math.inf)
    assert not low <= norm.cdf(-1) <= high
    others = [FittedLaw(sizes + 10 * 2.0**m, clean, law.weights) for m in range(-1, 8)]
    assert min(other.least for other in others) > law.least
    assert "fits about as well and ends at an error of 0.157" in misfit_text(law)


def test_two_gaussians_in_a_few_repeats() -> None:
    assert bayes_held(10, 2.0, 6, 20)[0] >= 0.8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "length", "steps"), list(itertools.product((10, 100), (1.0, 2.0), range(4, 9)))
)
def test_the_bayes_error_is_held_or_a_warning_raised(width: int, length: float, steps: int) -> None:
    assert bayes_held(width, length, steps, 200)[0] >= 0.93
