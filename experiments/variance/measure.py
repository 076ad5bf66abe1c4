"""How often intervals of variance components hold the truth, over designs that people have.

Run: `python -m experiments.variance.measure` (about 2 minutes of one core). Numbers are drawn with
known variances, 500 times a design. Writes `results/coverage.csv` and `results/coverage.png`.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from experiments.ma2021.common import Options, started, write_plot, write_table
from robust.metrics.intervals import clopper_pearson
from robust.metrics.variance_components import variance_components
from robust.report.figures.style import COLOURS, Figure, ReportFigure, style_axes

RESULTS = Path(__file__).parent / "results"
REPEATS = 500
DESIGNS = {
    "2 architectures x 5 seeds": ((0, 5), 2, False, 0),
    "3 data x 5 seeds x 5 runs": ((3, 5), 5, False, 0),
    "5 data x 5 seeds": ((5, 5), 1, False, 0),
    "10 seeds, one run each": ((0, 10), 1, False, 0),
    "5 data, 3 seeds in each, 2 runs": ((5, 3), 2, True, 0),
    "8 data x 6 seeds, a fifth missing": ((8, 6), 2, False, 20),
    "6 data, 5 seeds in each, a fifth missing": ((6, 5), 2, True, 12),
}
"""Levels of data (0: none) and seed, runs of each, whether seeds are nested, runs that failed."""
TRUTH = {"data": 0.02**2, "seed": 0.01**2, "residual": 0.01**2}


def drawn(
    design: str, repeat: int
) -> tuple[np.ndarray, dict[str, list[str]], dict[str, list[str]]]:
    (data, seeds), runs, nested, missing = DESIGNS[design]
    rng = np.random.default_rng([repeat, list(DESIGNS).index(design)])
    rows = list(itertools.product(range(max(data, 1)), range(seeds), range(runs)))
    outer, inner, run = np.array(rows).T
    inner = inner + seeds * outer if nested else inner
    values = 0.8 + rng.normal(0, TRUTH["residual"] ** 0.5, len(rows))
    values += rng.normal(0, TRUTH["seed"] ** 0.5, inner.max() + 1)[inner]
    if data:
        values += rng.normal(0, TRUTH["data"] ** 0.5, data)[outer]
    kept = np.sort(rng.permutation(len(rows))[missing:])
    fixed = {"architecture": [str(i) for i in run[kept]]} if design.startswith("2 arch") else {}
    random = {"data": [str(i) for i in outer[kept]], "seed": [str(i) for i in inner[kept]]}
    return values[kept], fixed, random


def coverage(design: str) -> Iterator[list[object]]:
    held: dict[str, list[bool]] = {}
    why: dict[str, str] = {}
    for repeat in range(REPEATS):
        values, fixed, random = drawn(design, repeat)
        components, _, _ = variance_components(values.tolist(), fixed, random)
        alone = len(components) == 1
        for one in components:
            truth = TRUTH["seed"] + TRUTH["residual"] if alone else TRUTH[one.source]
            why[one.source] = one.why_no_interval
            if one.low is not None and one.high is not None:
                held.setdefault(one.source, []).append(one.low <= truth <= one.high)
    for source, reason in why.items():
        if source not in held:
            yield [design, source, REPEATS, None, None, None, reason]
            continue
        hits = sum(held[source])
        ends = clopper_pearson(hits, len(held[source]))
        yield [design, source, len(held[source]), hits / len(held[source]), *ends, ""]


def draw(rows: list[list[object]]) -> Figure:
    shown = [row for row in rows if row[3] is not None]
    drawing = Figure(figsize=(7, 4.5), layout="constrained")
    axes = drawing.subplots()
    for place, row in enumerate(shown):
        value, low, high = (float(str(one)) for one in row[3:6])
        axes.errorbar(value, place, xerr=[[value - low], [high - value]], fmt="o", color=COLOURS[0])
    axes.set_yticks(range(len(shown)), [f"{row[0]}: {row[1]}" for row in shown], fontsize=7)
    axes.axvline(0.95, color=COLOURS[1], linewidth=1)
    style_axes(axes, "share of intervals that hold the truth")
    return drawing


def main(asked: Options) -> None:
    began = time.process_time()
    rows = [row for design in DESIGNS for row in coverage(design)]
    head = ("design", "source", "repeats", "covered", "low", "high", "why_no_interval")
    write_table(asked, "coverage", head, rows)
    write_plot(asked, ReportFigure("coverage", "", "", partial(draw, rows)))
    print(f"{time.process_time() - began:.0f} s of one core")


if __name__ == "__main__":
    started(main, __doc__, RESULTS)
