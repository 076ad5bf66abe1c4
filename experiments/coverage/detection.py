"""How often the interval of a detection rate at a fixed false-alarm rate holds the truth.

Run: `python -m experiments.coverage.detection` (one CPU core: about ten minutes; `--groups
50 100` does part of it). Writes `results/detection-GROUPS.csv` and prints a summary of all of them,
and `results/promise.csv`: how often the false-alarm rate of a fitted guard lies where it says.

Scores are normal: of a clean image N(0, 1), of its attacked twin N(mu, spread squared), with
correlation `within` between the images of a group and .5 between twins. The truth is the rate at
the threshold whose false-alarm rate is exact. "Before": the threshold taken for known, percentile
bootstrap by group. "Resampled": the same with the threshold found anew in each resample.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from robust.metrics.arrays import Array, Mask, Places
from robust.metrics.intervals import clopper_pearson
from robust.metrics.operating_point import (
    GroupedScores,
    conformal_threshold,
    detection_rate,
    known_false_alarms,
    threshold,
)

RESULTS = Path(__file__).parent / "results"
ALARM_RATES = (0.01, 0.05, 0.10)
GROUPS = (50, 100, 200, 300, 400, 1000)
DRAWS, TWIN = 1000, 0.5
COUNTED = 400
"""Runs whose interval of a count is looked at: beta-binomial quantiles take time."""
STRUCTURES = ((1, 1, 0.0), (1, 3, 0.5), (2, 2, 1.0))
"""Smallest and largest group, and the correlation within groups."""


@dataclass(frozen=True)
class World:
    """What is simulated."""

    kind: str
    """`attack`: some cases fell; `evasion`: share of all cases that fell undetected; `control`: all
    cases, hardly changed."""
    groups: int
    smallest: int
    largest: int
    within: float
    fell: float
    auc: float
    spread: float = 1.0

    @property
    def mean(self) -> float:
        """Of the attacked scores."""
        return math.hypot(1, self.spread) * float(norm.ppf(self.auc))

    def truth(self, alarm_rate: float) -> float:
        """The rate at the threshold whose false-alarm rate is exact."""
        rate = float(norm.sf((norm.isf(alarm_rate) - self.mean) / self.spread))
        return self.fell * (1 - rate) if self.kind == "evasion" else rate


@dataclass(frozen=True)
class Row:
    """Coverage of one kind of rate in one world."""

    kind: str
    groups: int
    images: int
    largest_group: int
    within: float
    fell: float
    auc: float
    spread: float
    alarm_rate: float
    truth: float
    printed: float
    """Share of runs with an interval."""
    coverage: float
    too_high: float
    """Share of runs whose interval lies above the truth."""
    too_low: float
    width: float
    bias: float
    """Mean of the estimate less the truth."""
    before: float
    resampled: float
    repeats: int


def worlds(groups: int) -> Iterator[World]:
    """The grid for one number of groups."""
    for smallest, largest, within in STRUCTURES:
        shape = groups, smallest, largest, within
        for auc in (0.7, 0.8, 0.95, 0.99):
            for fell in (0.3, 1.0):
                yield World("attack", *shape, fell, auc)
    shape = groups, 1, 3, 0.5
    yield World("evasion", *shape, 0.5, 0.8)
    yield World("evasion", *shape, 0.9, 0.95)
    yield World("control", *shape, 1.0, 0.55)
    for spread in (0.5, 2.0):
        yield World("attack", *shape, 0.3, 0.9, spread)
    yield World("attack", groups, 1, 1, 0.0, 0.1, 0.95)


def draw(world: World, codes: Places, rng: np.random.Generator) -> tuple[Array, Array, Mask]:
    """Clean and attacked scores of every image, and which fell."""

    def correlated() -> Array:
        shared = rng.standard_normal(world.groups)[codes]
        own = rng.standard_normal(len(codes))
        mixed: Array = math.sqrt(world.within) * shared + math.sqrt(1 - world.within) * own
        return mixed

    clean = correlated()
    twin = TWIN * clean + math.sqrt(1 - TWIN**2) * correlated()
    return clean, world.mean + world.spread * twin, rng.random(len(codes)) < world.fell


def simulate(world: World, repeats: int, resampled: int = 0, seed: int = 0) -> Iterator[Row]:
    """One row for each false-alarm rate; `resampled` runs resample the threshold as well."""
    codes = _codes(world)
    rng = np.random.default_rng([seed, world.groups])
    runs = [draw(world, codes, rng) for _ in range(repeats)]
    weights = rng.multinomial(world.groups, [1 / world.groups] * world.groups, DRAWS)
    for alarm_rate in ALARM_RATES:
        found = [_estimate(world, codes, run, alarm_rate) for run in runs]
        truth = world.truth(alarm_rate)
        ends = np.array([one[1:] for one in found if not math.isnan(one[1])]).reshape(-1, 2)
        inside = (ends[:, 0] <= truth) & (truth <= ends[:, 1])
        if not len(ends):
            continue
        before = _known(world, codes, runs, alarm_rate, weights)
        again = [_resampled(world, codes, r, alarm_rate, weights[:300]) for r in runs[:resampled]]
        yield Row(
            kind=world.kind,
            groups=world.groups,
            images=len(codes),
            largest_group=world.largest,
            within=world.within,
            fell=world.fell,
            auc=world.auc,
            spread=world.spread,
            alarm_rate=alarm_rate,
            truth=round(truth, 4),
            printed=len(ends) / repeats,
            coverage=round(float(inside.mean()), 4),
            too_high=round(float((ends[:, 0] > truth).mean()), 4),
            too_low=round(float((ends[:, 1] < truth).mean()), 4),
            width=round(float(np.diff(ends).mean()), 4),
            bias=round(float(np.nanmean([one[0] for one in found]) - truth), 4),
            before=round(float(np.mean([low <= truth <= high for low, high in before])), 4),
            resampled=round(float(np.mean([a <= truth <= b for a, b in again])), 4)
            if again
            else math.nan,
            repeats=repeats,
        )


def _codes(world: World) -> Places:
    """The group of every image: sizes from the smallest to the largest in turn."""
    numbers = np.arange(world.groups)
    sizes = world.smallest + numbers % (world.largest - world.smallest + 1)
    return np.repeat(numbers, sizes).astype(np.int64)


def _counted(world: World, fell: Mask) -> Mask:
    """Which images are in the denominator."""
    return np.ones(len(fell), bool) if world.kind == "evasion" else fell


def _estimate(
    world: World, codes: Places, run: tuple[Array, Array, Mask], alarm_rate: float
) -> tuple[float, float, float]:
    """Value, low and high; NaN where there is none."""
    clean, attacked, fell = run
    scores, counted = np.where(fell, attacked, np.inf), _counted(world, fell)
    one = detection_rate(
        GroupedScores(clean, codes), GroupedScores(scores[counted], codes[counted]), alarm_rate
    )
    if one is not None and world.kind == "evasion":
        one = one.complement
    if one is None or one.low is None or one.high is None:
        return math.nan if one is None else one.value, math.nan, math.nan
    return one.value, one.low, one.high


def _hits(world: World, run: tuple[Array, Array, Mask], limit: float) -> Mask:
    _, attacked, fell = run
    hit: Mask = fell & ((attacked <= limit) if world.kind == "evasion" else (attacked > limit))
    return hit


def _known(
    world: World,
    codes: Places,
    runs: list[tuple[Array, Array, Mask]],
    alarm_rate: float,
    weights: npt.NDArray[np.int64],
) -> Iterator[tuple[float, float]]:
    """Percentile interval of every run, the threshold taken for known."""
    hits, sizes = (np.empty((world.groups, len(runs)), np.float32) for _ in range(2))
    for i, run in enumerate(runs):
        limit = threshold(run[0], alarm_rate)
        hits[:, i] = np.bincount(codes, _hits(world, run, limit), world.groups)
        sizes[:, i] = np.bincount(codes, _counted(world, run[2]), world.groups)
    drawn = weights.astype(np.float32)
    with np.errstate(invalid="ignore"):
        rates = (drawn @ hits) / (drawn @ sizes)
    rates[:, ~(sizes > 0).any(0)] = 0.5
    for ends, value in zip(
        np.nanquantile(rates, [0.025, 0.975], axis=0).T, hits.sum(0) / sizes.sum(0), strict=True
    ):
        if ends[1] - ends[0] < 1e-9:  # all resamples agree
            occupied = int((sizes > 0).sum(0).mean())
            yield clopper_pearson(float(value) * occupied, occupied)
        else:
            yield float(ends[0]), float(ends[1])


def _resampled(
    world: World,
    codes: Places,
    run: tuple[Array, Array, Mask],
    alarm_rate: float,
    weights: npt.NDArray[np.int64],
) -> tuple[float, float]:
    """Percentile interval of one run, the threshold found anew in every resample."""
    clean, attacked, fell = run
    order = np.argsort(-clean)
    reached = np.cumsum(weights[:, codes[order]], axis=1)
    at = (reached > alarm_rate * reached[:, -1:]).argmax(1)
    limits, cases = clean[order][at], weights[:, codes]
    hit = fell & ((attacked[None] <= limits[:, None]) == (world.kind == "evasion"))
    with np.errstate(invalid="ignore"):
        rates = (cases * hit).sum(1) / (cases * _counted(world, fell)).sum(1)
    low, high = np.nanquantile(rates, [0.025, 0.975])
    return float(low), float(high)


@dataclass(frozen=True)
class PromiseRow:
    """What a fitted guard promises, and how often it holds."""

    groups: int
    images: int
    within: float
    requested: float
    expected: float
    """Mean of the true false-alarm rate as the guard tells it."""
    true_mean: float
    """Its mean over all runs."""
    at_most_requested: float
    """Share of runs whose true rate is no more than requested: what was said before."""
    interval_holds: float
    """Share of runs whose interval holds the true rate."""
    count_holds: float
    """Share of runs whose interval holds the number flagged of 100 further clean images."""
    highest: float
    """Mean of the interval's upper end."""
    repeats: int


def simulate_promise(
    groups: int, structure: tuple[int, int, float], requested: float, repeats: int
) -> PromiseRow:
    """Guards fitted on normal scores, whose true false-alarm rate is known."""
    world = World("control", groups, *structure, 1.0, 0.5)
    codes = _codes(world)
    rng = np.random.default_rng([groups, 1])
    found = []
    for run in range(repeats):
        clean = draw(world, codes, rng)[0]
        grouped = GroupedScores(clean, codes)
        limit = conformal_threshold(grouped, requested)
        known, true = known_false_alarms(grouped, limit), norm.sf(limit)
        low, high = known.interval
        holds = math.nan
        if run < COUNTED:
            few, many = known.count_interval(100)
            holds = float(few <= rng.binomial(100, true) <= many)
        found.append((known.expected, true, true <= requested, low <= true <= high, holds, high))
    means = np.nanmean(found, axis=0).round(4).tolist()
    return PromiseRow(groups, len(codes), world.within, requested, *means, repeats)


def summary(rows: list[dict[str, str]]) -> Iterator[str]:
    """By false-alarm rate and groups: least and mean coverage, before and after."""
    yield "| false alarms | groups | cells | before, least | before, mean | least | mean | width |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for rate in ALARM_RATES:
        for groups in GROUPS:
            cell = [r for r in rows if (float(r["alarm_rate"]), int(r["groups"])) == (rate, groups)]
            if not cell:
                continue
            after, old, width = (
                np.array([float(r[name]) for r in cell]) for name in ("coverage", "before", "width")
            )
            yield (
                f"| {100 * rate:g} % | {groups} | {len(cell)} | {old.min():.2f} | {old.mean():.2f} "
                f"| {after.min():.3f} | {after.mean():.3f} | {width.mean():.2f} |"
            )


def _write(path: Path, rows: Sequence[Row] | Sequence[PromiseRow]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(asdict(rows[0])), lineterminator="\n")
        table.writeheader()
        table.writerows(asdict(row) for row in rows)
    print(f"{path.name}: {len(rows)} rows", flush=True)


def main() -> None:
    """Simulate, and write a table for each number of groups."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=int, nargs="*", default=list(GROUPS))
    parser.add_argument("--promise", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--repeats", type=int, default=2000)
    parser.add_argument("--resampled", type=int, default=500)
    chosen = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    for groups in chosen.groups:
        rows: list[Row] = []
        for world in worlds(groups):
            alone = groups <= 300 and world.largest == 1 and world.fell == 1 and world.auc > 0.9
            rows += simulate(world, chosen.repeats, chosen.resampled if alone else 0)
        _write(RESULTS / f"detection-{groups}.csv", rows)
    if chosen.promise:
        promises = [
            simulate_promise(groups, structure, requested, chosen.repeats)
            for groups in GROUPS
            for structure in STRUCTURES
            for requested in ALARM_RATES
            if requested * groups >= 2
        ]
        _write(RESULTS / "promise.csv", promises)
    stored: list[dict[str, str]] = []
    for path in sorted(RESULTS.glob("detection-*.csv")):
        with path.open(encoding="utf-8") as file:
            stored += csv.DictReader(file)
    print("\n".join(summary(stored)))


if __name__ == "__main__":
    main()
