"""Coverage of learning curves on the law itself and on two Gaussians, and PneumoniaMNIST's curve.

Run: `python -m experiments.learning_curve.measure` after `experiments.learning_curve.train` (about
3 minutes of one core). Writes `law.csv`, `gaussians.csv`, `pneumoniamnist.csv`, `curves.png` into
`results`.
"""

from __future__ import annotations

import csv
import itertools
import math
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from scipy.stats import norm

from experiments.ma2021.common import Options, started, write_plot, write_table
from robust.metrics.learning_curve import fit_learning_curve
from robust.metrics.learning_curve.law import FittedLaw
from robust.metrics.learning_curve.misfit import misfit_text, undecided_text
from robust.metrics.learning_curve.noise import noise_weights
from robust.records import LearningCurve
from robust.report.figures.style import COLOURS, Figure, ReportFigure, style_axes

RESULTS = Path(__file__).parent / "results"
REPEATS = 500
SIZES, SHORT, MODELS = (50.0, 100.0, 200.0, 400.0, 800.0, 1600.0), 4, (2, 3, 5)
LAWS = ((0.1, 1.5, 0.5, 0.01), (0.05, 1.0, 0.3, 0.01), (0.0, 1.5, 0.5, 0.02))
EPS = 0.05
WANTED = (0.9, 0.95)


def law_rows() -> Iterator[list[object]]:
    grid = itertools.product(MODELS, (SHORT, len(SIZES)), LAWS)
    for models, steps, (a, b, c, noise) in grid:
        sizes, held, widths, told = np.repeat(SIZES[:steps], models), [], [], []
        for repeat in range(REPEATS):
            draw = np.random.default_rng(repeat).normal(0, noise, len(sizes))
            errors = np.clip(a + b * sizes**-c + draw, 0, 1)
            law = FittedLaw(sizes, errors, noise_weights(sizes, errors))
            pairs = [(law.exponents(), c), (law.values(math.inf), a)]
            pairs += [(law.values(n), a + b * n**-c) for n in (1100.0, 6400.0)]
            held.append([low - 1e-12 <= t <= high + 1e-12 for (low, high), t in pairs])
            ends = law.values(math.inf), law.values(math.inf, plateaus=False)
            widths.append([high - low for low, high in ends])
            told.append([bool(misfit_text(law)), bool(undecided_text(law))])
        shares = [*np.mean(held, 0).tolist(), *np.mean(told, 0).tolist()]
        yield [models, steps, a, b, c, noise, REPEATS, *shares, *np.median(widths, 0).tolist()]


def gaussian_rows() -> Iterator[list[object]]:
    """Plug-in classifiers of two Gaussians (Schmidt et al. 2018), errors in closed form."""
    for width, length, steps in itertools.product((10, 100), (1.0, 2.0), range(4, 9)):
        sizes = np.repeat(10.0 * 2.0 ** np.arange(steps), 5)
        theta, held, warned = np.full(width, length / width**0.5), [], []
        ends = norm.cdf(-length), norm.cdf(EPS * width**0.5 - length)
        for repeat in range(REPEATS):
            rng = np.random.default_rng(repeat)
            w = theta + rng.normal(size=(len(sizes), width)) / sizes[:, None] ** 0.5
            margin, norms = w @ theta, np.linalg.norm(w, axis=1)
            attacked = norm.cdf((EPS * np.abs(w).sum(1) - margin) / norms)
            row = []
            for errors, end in zip((norm.cdf(-margin / norms), attacked), ends, strict=True):
                law = FittedLaw(sizes, errors, noise_weights(sizes, errors))
                warned.append(bool(misfit_text(law)))
                for plateaus in (True, False):
                    low, high = law.values(math.inf, plateaus=plateaus)
                    row.append(low <= end <= high)
            held.append(row)
        shares = np.mean(held, 0).tolist()
        told = np.reshape(warned, (-1, 2)).mean(0).tolist()
        rates = [rate for side in (0, 1) for rate in (*shares[2 * side : 2 * side + 2], told[side])]
        yield [width, length, int(sizes[-1]), REPEATS, *rates]


def measured() -> list[LearningCurve]:
    with (RESULTS / "models.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    images = [float(row["images"]) for row in rows]
    return [
        fit_learning_curve(images, [float(row[name]) for row in rows], wanted=WANTED, measure=name)
        for name in ("accuracy", "robust_accuracy")
    ]


def curve_rows(curves: list[LearningCurve]) -> Iterator[list[object]]:
    for curve in curves:
        for name in ("asymptote", "scale", "exponent"):
            one = getattr(curve, name)
            yield [
                curve.measure,
                name,
                one.value,
                one.low,
                one.high,
                curve.misfit or curve.undecided,
            ]
        for wanted in curve.wanted:
            ends = (wanted.images, wanted.low, wanted.high)
            yield [curve.measure, f"images for {wanted.value:g}", *ends, wanted.why_not]


def drawn(curves: list[LearningCurve]) -> Figure:
    drawing = Figure(figsize=(6, 4), layout="constrained")
    axes = drawing.subplots()
    for curve, colour in zip(curves, COLOURS, strict=False):
        at = [point.images for point in curve.band]
        low = [point.low or 0.0 for point in curve.band]
        high = [1.0 if point.high is None else point.high for point in curve.band]
        axes.fill_between(at, low, high, color=colour, alpha=0.2, linewidth=0)
        label = curve.measure.replace("_", " ")
        axes.plot(at, [point.value for point in curve.band], color=colour, label=label)
        values = [p.estimate.value for p in curve.points]
        axes.plot([p.images for p in curve.points], values, "o", color=colour)
    axes.set_xscale("log")
    axes.legend(frameon=False)
    style_axes(axes, "training images", "share of test images")
    return drawing


def main(asked: Options) -> None:
    began = time.process_time()
    curves = measured()
    head: tuple[str, ...] = ("measure", "constant", "value", "low", "high", "warning")
    write_table(asked, "pneumoniamnist", head, curve_rows(curves))
    write_plot(asked, ReportFigure("curves", "", "", partial(drawn, curves)))
    truths = ("exponent", "asymptote", "curve_at_1100", "curve_at_6400", "misfit", "undecided")
    widths = ("width", "width_without_plateaus")
    head = ("models_a_size", "sizes", "a", "b", "c", "noise", "repeats", *truths, *widths)
    write_table(asked, "law", head, law_rows())
    rates = ("held", "held_without_plateaus", "misfit")
    both = [f"{side}_{rate}" for side in ("clean", "attacked") for rate in rates]
    write_table(
        asked, "gaussians", ("dimensions", "theta", "largest_n", "repeats", *both), gaussian_rows()
    )
    print(f"{time.process_time() - began:.0f} s of one core")


if __name__ == "__main__":
    started(main, __doc__, RESULTS)
