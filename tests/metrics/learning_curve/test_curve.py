"""Learning curves: constants recovered, intervals that cover, warnings at their nominal rate."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from scipy import optimize
from scipy.stats import f, norm

from robust.errors import InputError
from robust.metrics.learning_curve import fit_learning_curve
from robust.metrics.learning_curve.law import PLATEAUS, FittedLaw
from robust.metrics.learning_curve.misfit import misfit_text, undecided_text
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
    found = law.values(6400, plateaus=False)
    for sign, end in ((1, found[0]), (-1, found[1])):
        done = optimize.minimize(
            lambda at, sign=sign: sign * (at[0] + at[1] * 128.0 ** -at[2]),
            best.x, bounds=bounds, constraints=[room], method="SLSQP", tol=1e-12,
        )  # fmt: skip
        assert sign * done.fun == pytest.approx(end, abs=5e-4)


def test_the_region_is_that_of_laws_drawn_at_random() -> None:
    errors = from_law(3, 0.1, 1.5, 0.5, 0.01)
    law = FittedLaw(SIZES, errors, np.ones(len(SIZES)))
    rng = np.random.default_rng(0)
    values = []
    for plateau, c in itertools.product((0.0, *PLATEAUS), np.geomspace(0.02, 5, 300)):
        x = ((SIZES / 50 + plateau) / (1 + plateau)) ** -c
        design = np.stack([np.ones(len(x)), x], 1)
        middle, *_ = np.linalg.lstsq(design, errors, rcond=None)
        room = law.least + law.slack - float(((errors - design @ middle) ** 2).sum())
        if room > 0:
            # On the ellipse of equal squares, and inside it.
            circle = rng.normal(size=(2, 400))
            circle *= rng.choice([1.0, 0.5], 400) * room**0.5 / np.linalg.norm(circle, axis=0)
            a, drop = middle[:, None] + np.linalg.solve(np.linalg.qr(design)[1], circle)
            kept = (a >= 0) & (a <= 1) & (drop >= 0)
            values += (a + drop * ((128 + plateau) / (1 + plateau)) ** -c)[kept].tolist()
    low, high = law.values(6400)
    assert min(values) == pytest.approx(low, abs=1e-3)
    assert max(values) == pytest.approx(high, abs=1e-3)
    assert high > law.values(6400, plateaus=False)[1] + 1e-3


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


SPREAD = np.tile([0.01, -0.01, 0, 0.005, -0.005], 6)


@pytest.mark.parametrize(
    ("errors", "where"),
    [
        (0.1 + 1.5 * SIZES**-0.5 + 0.2 * (SIZES == 400) + SPREAD, 400),
        (0.3 - 0.2 * (SIZES > 300) + SPREAD, 200),
    ],
)
def test_what_no_law_fits_is_contradicted(errors: np.ndarray, where: int) -> None:
    curve = fit_learning_curve(SIZES, 1 - errors, wanted=[0.65])
    assert curve.misfit.startswith("the law does not fit (p = ")
    assert curve.misfit.endswith(f"least of all at {where} images")
    assert curve.wanted[0].why_not == curve.misfit


def test_an_error_that_does_not_fall_is_undecided_and_no_misfit() -> None:
    curve = fit_learning_curve(SIZES, 1 - (0.3 + SPREAD), wanted=[0.75])
    assert not curve.misfit
    assert curve.undecided == "the error does not fall by more than chance explains"
    assert curve.wanted[0].high is None


def test_lack_of_fit_is_the_textbook_one() -> None:
    """Against a linear model where the exponent alone is left to a grid: p by hand."""
    errors = from_law(5, 0.1, 1.5, 0.5, 0.01) + 0.012 * (SIZES == 200)
    law = FittedLaw(SIZES, errors, np.ones(len(SIZES)))
    means = errors.reshape(6, 5).mean(1)
    within = float(((errors.reshape(6, 5) - means[:, None]) ** 2).sum())
    off = means - np.array([law.value(size) for size in SIZES[::5]])
    chance = float(f.sf((5 * (off**2).sum() / 3) / (within / 24), 3, 24))
    assert law.free_constants == 3 and chance < 0.05
    assert f"(p = {chance:.2g})" in misfit_text(law)


def test_few_sizes_are_not_fitted() -> None:
    curve = fit_learning_curve([10, 10, 20, 20, 40, 40], [0.5, 0.6] * 3, wanted=[0.9])
    assert curve.misfit == "3 sizes of training set: a curve needs at least 4"
    assert curve.exponent is None and curve.band == () and curve.wanted[0].images is None


def test_single_models_leave_the_law_untested() -> None:
    curve = fit_learning_curve([10, 20, 40, 80, 160], [0.5, 0.6, 0.7, 0.75, 0.78])
    assert not curve.misfit and curve.points[0].estimate.interval is None
    assert curve.undecided == "no size has two models, so that nothing shows whether the law fits"


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


def law_rates(
    law: tuple[float, float, float, float], repeats: int, models: int = 5, steps: int = 6
) -> tuple[list[float], float, float]:
    """Share of intervals that hold exponent, asymptote, and the curve at sizes held out.

    Then the shares of misfits and of curves that are not decided.
    """
    a, b, c, noise = law
    sizes = np.repeat(np.unique(SIZES)[:steps], models)
    held, warned, undecided = [], [], []
    for seed in range(repeats):
        drawn = a + b * sizes**-c + np.random.default_rng(seed).normal(0, noise, len(sizes))
        errors = np.clip(drawn, 0, 1)
        fitted = FittedLaw(sizes, errors, noise_weights(sizes, errors))
        pairs = [(fitted.exponents(), c), (fitted.values(math.inf), a)]
        pairs += [(fitted.values(n), a + b * n**-c) for n in (1100.0, 6400.0)]
        held.append([low - 1e-12 <= truth <= high + 1e-12 for (low, high), truth in pairs])
        warned.append(bool(misfit_text(fitted)))
        undecided.append(bool(undecided_text(fitted)))
    shares = [float(one) for one in np.mean(held, 0)]
    return shares, float(np.mean(warned)), float(np.mean(undecided))


def test_intervals_cover_and_few_warnings_are_false_in_a_few_repeats() -> None:
    held, warned, undecided = law_rates(LAWS[0], 40)
    assert min(held) >= 0.85
    assert warned <= 0.15
    assert undecided == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("law", "models", "steps"), list(itertools.product(LAWS, (2, 3, 5), (4, 6)))
)
def test_intervals_cover_in_at_least_93_percent_of_500_repeats_with_few_false_warnings(
    law: tuple[float, float, float, float], models: int, steps: int
) -> None:
    held, warned, undecided = law_rates(law, 500, models, steps)
    assert min(held) >= 0.93, held
    assert warned <= 0.1, warned
    assert undecided <= 0.02, undecided


@pytest.mark.slow
@pytest.mark.parametrize(("law", "models"), [((0.3, 0.0, 0.5, 0.01), 5), (LAWS[0], 1)])
def test_what_is_not_decided_is_covered_by_the_interval(
    law: tuple[float, float, float, float], models: int
) -> None:
    held, warned, undecided = law_rates(law, 500, models)
    assert min(held) >= 0.93, held
    assert warned <= 0.1, warned
    assert undecided >= 0.93, undecided


EPS = 0.05


def two_gaussians(seed: int, width: int, length: float, sizes: np.ndarray) -> np.ndarray:
    """Errors `(2, n)`, clean and in L-inf of EPS, of plug-in classifiers (Schmidt et al. 2018)."""
    theta = np.full(width, length / width**0.5)
    drawn = np.random.default_rng(seed).normal(size=(len(sizes), width))
    w = theta + drawn / sizes[:, None] ** 0.5
    margin, size = w @ theta, np.linalg.norm(w, axis=1)
    return np.stack([norm.cdf(-margin / size), norm.cdf((EPS * np.abs(w).sum(1) - margin) / size)])


def ends_held(width: int, length: float, steps: int, repeats: int) -> tuple[np.ndarray, np.ndarray]:
    """Share in which the interval holds the error of the best classifier, clean and attacked.

    With the laws with a plateau, and without them.
    """
    sizes = np.repeat(10.0 * 2.0 ** np.arange(steps), 5)
    ends = norm.cdf(-length), norm.cdf(EPS * width**0.5 - length)
    held = []
    for seed in range(repeats):
        both = two_gaussians(seed, width, length, sizes)
        assert (both[1] > both[0]).all()
        for errors, end in zip(both, ends, strict=True):
            fitted = FittedLaw(sizes, errors, noise_weights(sizes, errors))
            for plateaus in (True, False):
                low, high = fitted.values(math.inf, plateaus=plateaus)
                held.append(low <= end <= high)
    with_plateaus, without = np.reshape(held, (repeats, 2, 2)).mean(0).T
    return with_plateaus, without


def test_two_gaussians_in_a_few_repeats_need_the_laws_with_a_plateau() -> None:
    held, without = ends_held(100, 1.0, 6, 20)
    assert held.min() >= 0.9
    assert without.max() <= 0.4


def test_a_law_far_from_two_gaussians_is_contradicted() -> None:
    sizes = np.repeat(10.0 * 2.0 ** np.arange(8), 5)
    warned = []
    for seed in range(20):
        _, attacked = two_gaussians(seed, 100, 1.0, sizes)
        warned.append(bool(misfit_text(FittedLaw(sizes, attacked, noise_weights(sizes, attacked)))))
    assert np.mean(warned) >= 0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "length", "steps"), list(itertools.product((10, 100), (1.0, 2.0), range(4, 9)))
)
def test_the_bayes_error_is_held_without_a_warning(width: int, length: float, steps: int) -> None:
    held, _ = ends_held(width, length, steps, 500)
    assert held.min() >= 0.93
