"""Coverage of every interval that a report prints, by simulation with a known truth.

Run: `python -m experiments.coverage.measure [--repeats 2000]`. Writes a table of each kind, a
line for each method, number of groups, correlation and truth: how often the interval
holds the truth, how often it lies wholly above and below it, its width, and how often
there was none. `results/gates.csv` has how often a gate passes a model that misses it by a hair.

`now` is what reports print; `before` is the percentile interval of a cluster bootstrap, which they
printed before; `Wilson` is the score interval on the effective sample size.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from scipy import stats

from experiments.coverage.before import (
    percentile_auc,
    percentile_difference,
    percentile_median,
    percentile_rate,
)
from experiments.coverage.data import (
    BALANCED,
    CALIBRATION,
    MARGINS,
    Misread,
    calibration_truth,
    chances,
    distances,
    images,
    judged,
    mean_value,
    misread,
    overlaps,
    readings,
    scored,
)
from robust.metrics.balanced_error import balanced_error
from robust.metrics.by_group import ByGroup
from robust.metrics.calibration import Confidences, brier_score, calibration_error
from robust.metrics.intervals import jackknife_variance
from robust.metrics.paired import Paired
from robust.records import Estimate

RESULTS = Path(__file__).parent / "results"
GROUPS = (10, 20, 50, 200)
ALIKE = (0.0, 0.3, 0.8, 1.0)
RATES = (0.02, 0.1, 0.5, 0.9, 0.95, 0.98)
AREAS = (0.6, 0.8, 0.95, 0.99)
LABELS = (("group", 0.1), ("group", 0.5), ("image", 0.3), ("twin", 0.2), ("twin", 1.0))
PAIRS = ((0.5, 0.5), (0.9, 0.9), (0.9, 0.8), (0.98, 0.98), (0.98, 0.9), (0.1, 0.05))
GATED = ((72, 0.95), (100, 0.95), (144, 0.95), (200, 0.95), (30, 0.85), (50, 0.9), (400, 0.99))
WANTED = 0.93
"""Least coverage that is asked of every cell."""

Ends = tuple[float, float] | None


@dataclass(frozen=True)
class Cell:
    """One kind of data, and the truth that its intervals should hold."""

    kind: str
    groups: int
    alike: float
    what: str
    truth: float
    rarer: float
    """Expected images on the rarer side: events or non-events, positives or negatives."""
    draw: Callable[[np.random.Generator], dict[str, Ends]]


@dataclass
class Tally:
    """How the intervals of one method in one cell did."""

    repeats: int = 0
    held: int = 0
    above: int = 0
    below: int = 0
    width: float = 0.0
    without: int = 0

    def add(self, ends: Ends, truth: float) -> None:
        """Count one interval; None is none."""
        self.repeats += 1
        if ends is None:
            self.without += 1
            return
        low, high = ends
        self.held += low <= truth <= high
        self.above += low > truth
        self.below += high < truth
        self.width += high - low

    def row(self) -> list[object]:
        """Coverage and the like, of the repeats with an interval."""
        known = self.repeats - self.without
        if not known:
            return ["", "", "", "", 1]
        shares = (
            self.held,
            self.above,
            self.below,
            self.width,
            self.without * known / self.repeats,
        )
        return [f"{share / known:.4f}" for share in shares]


def ends_of(estimate: Estimate | None) -> Ends:
    """The interval of an estimate."""
    return None if estimate is None else estimate.interval


def rate_cells() -> Iterator[Cell]:
    """Rates of hits."""
    for groups, alike, rate in product(GROUPS, ALIKE, RATES):

        def draw(
            rng: np.random.Generator, groups: int = groups, alike: float = alike, rate: float = rate
        ) -> dict[str, Ends]:
            of = images(rng, groups)
            hits = rng.random(len(of)) < chances(rng, groups, rate, alike)[of]
            return {
                "now": ends_of(ByGroup(of.tolist()).rate(hits)),
                "before": percentile_rate(of, hits),
                "Wilson": wilson(of, hits),
            }

        rarer = 3.5 * groups * min(rate, 1 - rate)
        yield Cell("rate", groups, alike, f"{rate:g}", rate, rarer, draw)


def auc_cells() -> Iterator[Cell]:
    """AUC of a classifier (labels by group or by image) and of a detector (twins)."""
    for (kind, prevalence), groups, alike, area in product(LABELS, GROUPS, (0.0, 0.5, 0.9), AREAS):

        def draw(
            rng: np.random.Generator,
            given: tuple[int, float, float, str, float] = (groups, area, prevalence, kind, alike),
        ) -> dict[str, Ends]:
            data = scored(rng, *given)
            every = np.ones(len(data.groups), bool)
            own = ByGroup(data.groups.tolist())
            found = {"now": ends_of(own.auc(data.scores, data.positive, every))}
            if rng.random() < 0.25:  # it takes far longer
                found["before"] = percentile_auc(data)
            return found

        rarer = 3.5 * groups * (min(prevalence, 1 - prevalence) if kind != "twin" else prevalence)
        what = f"{area:g}, {kind} {prevalence:g}"
        yield Cell("AUC", groups, alike, what, area, rarer, draw)


def median_cells() -> Iterator[Cell]:
    """Medians of distances."""
    for groups, alike in product(GROUPS, ALIKE):

        def draw(
            rng: np.random.Generator, groups: int = groups, alike: float = alike
        ) -> dict[str, Ends]:
            of, values = distances(rng, groups, alike)
            every = np.ones(len(of), bool)
            return {
                "now": ends_of(ByGroup(of.tolist()).median(values, every)),
                "before": percentile_median(of, values),
            }

        yield Cell("median", groups, alike, "1", 1.0, 1.75 * groups, draw)


def mean_cells() -> Iterator[Cell]:
    """Means of Dice and of distances; at the group counts of segmentation, too."""
    for groups, alike, kind in product(sorted({*GROUPS, 30, 40}), ALIKE, MARGINS):

        def draw(
            rng: np.random.Generator, groups: int = groups, alike: float = alike, kind: str = kind
        ) -> dict[str, Ends]:
            of, values = overlaps(rng, groups, kind, alike)
            own, every = ByGroup(of.tolist()), np.ones(len(of), bool)
            return {
                "now": ends_of(own.mean(values, every)),
                "t": student(of, values),
                "effective size": ends_of(own.rate(values)),
                "bootstrap": percentile_rate(of, values),
            }

        yield Cell("mean", groups, alike, kind, mean_value(kind), 3.5 * groups, draw)


def difference_cells() -> Iterator[Cell]:
    """Differences of two rates on the same cases."""
    for groups, alike, rates in product(GROUPS, ALIKE, PAIRS):

        def draw(
            rng: np.random.Generator,
            groups: int = groups,
            rates: tuple[float, float] = rates,
            alike: float = alike,
        ) -> dict[str, Ends]:
            data = readings(rng, groups, rates, alike)
            every = np.ones(len(data.groups), bool)
            paired = Paired(data.groups.tolist())
            return {
                "now": ends_of(paired.difference((data.first, every), (data.second, every))),
                "before": percentile_difference(data),
            }

        rarer = 3.5 * groups * min(min(rate, 1 - rate) for rate in rates)
        what = f"{rates[0]:g} and {rates[1]:g}"
        yield Cell("difference", groups, alike, what, rates[1] - rates[0], rarer, draw)


def balanced_cells() -> Iterator[Cell]:
    """Balanced errors of one look at each image, and of the mean of five."""
    drawn = product(GROUPS, (0.0, 0.5, 1.0), BALANCED, ("group", "image"), (1, 5))
    for groups, alike, kind, labelled, looks in drawn:

        def draw(
            rng: np.random.Generator,
            given: tuple[int, str, float, str, int] = (groups, kind, alike, labelled, looks),
        ) -> dict[str, Ends]:
            data = misread(rng, *given)
            if not data.complete:
                return {"now": None, "t": None}
            own = ByGroup(data.groups.tolist())
            now = ends_of(balanced_error(own, data.errors, data.labels))
            return {"now": now, "t": now and balanced_student(data)}

        errors, shares = BALANCED[kind]
        rarer = 3.5 * groups * min(s * min(e, 1 - e) for e, s in zip(errors, shares, strict=True))
        what = f"{kind}, by {labelled}, {looks}"
        yield Cell("balanced", groups, alike, what, float(np.mean(errors)), rarer, draw)


def balanced_student(data: Misread) -> Ends:
    """Student's t interval, with the variance of the balanced error by jackknife over groups."""
    classes, groups = int(data.labels.max()) + 1, int(data.groups.max()) + 1
    places, shape = data.groups * classes + data.labels, (groups, classes)
    sizes = np.bincount(places, minlength=groups * classes).reshape(shape).astype(float)
    sums = np.bincount(places, data.errors, groups * classes).reshape(shape)
    without = ((sums.sum(0) - sums) / (sizes.sum(0) - sizes)).mean(1)
    reach = stats.t.ppf(0.975, groups - 1) * jackknife_variance(without) ** 0.5
    value = float((sums.sum(0) / sizes.sum(0)).mean())
    return value - reach, value + reach


def calibration_cells(name: str) -> Iterator[Cell]:
    """Calibration errors, or Brier scores, of models that are and are not calibrated."""
    score, place = {"ECE": (calibration_error, 0), "Brier": (brier_score, 1)}[name]
    for groups, alike, kind in product(GROUPS, (0.0, 0.5, 1.0), CALIBRATION):

        def draw(
            rng: np.random.Generator, groups: int = groups, alike: float = alike, kind: str = kind
        ) -> dict[str, Ends]:
            data = judged(rng, groups, kind, alike)
            found, own = Confidences.of(data.logits, data.labels), ByGroup(data.groups.tolist())
            return {"now": ends_of(score(own, found, np.ones(len(data.labels), bool)))}

        yield Cell(name, groups, alike, kind, calibration_truth(kind)[place], 3.5 * groups, draw)


KINDS = {
    "rate": rate_cells,
    "AUC": auc_cells,
    "mean": mean_cells,
    "median": median_cells,
    "difference": difference_cells,
    "balanced": balanced_cells,
    "ECE": partial(calibration_cells, "ECE"),
    "Brier": partial(calibration_cells, "Brier"),
}


def wilson(groups: np.ndarray, hits: np.ndarray) -> Ends:
    """Wilson's interval on the effective sample size, by the linearised variance over groups."""
    sizes, sums = np.bincount(groups).astype(float), np.bincount(groups, hits)
    cases, share = sizes.sum(), hits.mean()
    rest = sums - share * sizes
    variance = (rest**2).sum() / cases**2 * len(sizes) / (len(sizes) - 1)
    size = share * (1 - share) / variance if variance > 0 else len(sizes)
    z = stats.norm.ppf(0.975)
    centre = (share + z * z / 2 / size) / (1 + z * z / size)
    reach = z / (1 + z * z / size) * np.sqrt(share * (1 - share) / size + z * z / 4 / size**2)
    return float(centre - reach), float(centre + reach)


def student(groups: np.ndarray, values: np.ndarray) -> Ends:
    """Student's t interval of a mean, with the variance by jackknife over groups."""
    sizes, sums = np.bincount(groups).astype(float), np.bincount(groups, values)
    without = (sums.sum() - sums) / (sizes.sum() - sizes)
    reach = stats.t.ppf(0.975, len(sizes) - 1) * jackknife_variance(without) ** 0.5
    return float(values.mean() - reach), float(values.mean() + reach)


def measure(cell: Cell, repeats: int) -> dict[str, Tally]:
    """Draw a cell again and again."""
    tallies: dict[str, Tally] = {}
    seed = [cell.groups, int(100 * cell.alike), *cell.what.encode(), *cell.kind.encode()]
    rng = np.random.default_rng(seed)
    for _ in range(repeats):
        for method, ends in cell.draw(rng).items():
            tallies.setdefault(method, Tally()).add(ends, cell.truth)
    return tallies


def gates(repeats: int) -> list[list[object]]:
    """How often a gate passes a model whose true rate is what it asks for, or a hair less."""
    rows: list[list[object]] = []
    for (groups, wanted), alike in product(GATED, ALIKE):
        rng = np.random.default_rng([groups, int(1000 * wanted), int(100 * alike)])
        passed = {"now": 0, "before": 0}
        for _ in range(repeats):
            of = images(rng, groups)
            hits = rng.random(len(of)) < chances(rng, groups, wanted - 1e-6, alike)[of]
            now = ByGroup(of.tolist()).rate(hits)
            before = percentile_rate(of, hits)
            passed["now"] += now is not None and now.is_at_least(wanted)
            passed["before"] += before is not None and before[0] >= wanted
        rows.append([groups, alike, wanted, *(f"{n / repeats:.4f}" for n in passed.values())])
    return rows


def main() -> None:
    """Measure, write both tables, and say what falls short."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=2000)
    parser.add_argument("--only", choices=[*KINDS, "gates"])
    asked = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    for kind, cells in KINDS.items():
        if asked.only not in (None, kind):
            continue
        rows = []
        for cell in cells():
            for method, tally in measure(cell, asked.repeats).items():
                at = (kind, method, cell.groups, cell.alike, cell.what, f"{cell.rarer:.1f}")
                rows.append([*at, *tally.row()])
                if method == "now" and tally.row()[0] and float(str(tally.row()[0])) < WANTED:
                    print("short:", *rows[-1], flush=True)
        columns = "kind method groups correlation truth rarer held above below width without"
        write(kind.lower(), columns.split(), rows)
    if asked.only in (None, "gates"):
        columns = "groups correlation wanted false_passes false_passes_before"
        write("gates", columns.split(), gates(asked.repeats))


def write(name: str, columns: list[str], rows: list[list[object]]) -> None:
    """A table as results/NAME.csv."""
    with (RESULTS / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([columns, *rows])


if __name__ == "__main__":
    main()
