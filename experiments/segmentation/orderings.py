"""Orderings that papers print, as paired differences on the same cases with intervals by patient.

Run: `python -m experiments.segmentation.orderings [--only lungs]` after `robust audit` of the
plans. It reads outcomes.csv of each run and writes `results/attacks.csv` (one attack less another:
below 0 the second one does more harm) and `results/sizes.csv` (the small third of the structures
less the large third: below 0 the small ones are outlined worse).

Differences of means are those of `robust compare`. Their intervals allow for a patient as unlike
the others as Dice permits, and are wide. So beside that of Dice stand the median difference, with
an interval between two order statistics, and the number of patients in whom the second attack does
more harm.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from experiments.ma2021.common import Options, interval, numbers, started, write_table
from experiments.segmentation.runs import RESULTS, finished
from robust.metrics.arrays import Array, Mask
from robust.metrics.by_group import ByGroup
from robust.metrics.outlines.kept import KeptScores
from robust.metrics.paired import Paired
from robust.records import Report
from robust.report.comparison.outcomes import (
    CellName,
    Outcomes,
    read_table,
    readable,
    select_cases,
)

PAIRS = (
    ("Noise", "FGSM"),
    ("FGSM", "PGD"),
    ("PGD", "PGD on Dice"),
    ("PGD", "SegPGD"),
    ("PGD", "CosPGD"),
    ("PGD", "SEA"),
    ("SegPGD", "CosPGD"),
    ("SegPGD", "SEA"),
    ("PGD on Dice", "SEA"),
)
"""The weaker one first, as the papers have it."""
SIZED = ("PGD", "SEA")
"""Attacks under which small structures are compared with large ones."""
OF_ATTACKS = ("model", "first", "second", "eps", "cases", "groups", "second_worse_in")
OF_SIZES = ("model", "structure", "attack", "eps", "small", "large", "groups")


def outcomes_of(folder: Path, report: Report) -> Outcomes:
    """All cases of a run that could be read."""
    table = read_table(folder, report)
    return select_cases(table, report, list(readable(table)["case"]))


def by_attack(model: str, found: Outcomes) -> Iterator[list[object]]:
    """Differences of Dice, pixel accuracy and shares still outlined well, of attacked cases."""
    paired, single = Paired(found.groups), ByGroup(found.groups)
    for first, second in PAIRS:
        for eps in sizes_of(found, first, second):
            old, new = (found.at((name, "Linf", eps)) for name in (first, second))
            both = old.evaluated & new.evaluated
            before, after = KeptScores(old.kept), KeptScores(new.kept)
            dice, accuracy, well = (
                paired.difference((a, both), (b, both))
                for a, b in (
                    (before.case_dice, after.case_dice),
                    (before.pixel_accuracy, after.pixel_accuracy),
                    (~old.success, ~new.success),
                )
            )
            fall = after.case_dice - before.case_dice
            median = single.median(fall, both)
            worse, groups = lower_in(fall[both], np.array(found.groups)[both])
            size = [f"{255 * eps:g}", int(both.sum()), groups, worse]
            yield [model, first, second, *size, *numbers(dice, median, accuracy, well)]


def lower_in(fall: Array, groups: npt.NDArray[np.str_]) -> tuple[int, int]:
    """In how many groups the mean of `fall (n,)` is below 0, and how many there are."""
    means = [float(fall[groups == name].mean()) for name in np.unique(groups)]
    return sum(mean < 0 for mean in means), len(means)


def by_size(model: str, found: Outcomes, names: tuple[str, ...]) -> Iterator[list[object]]:
    """Dice, and what of it is lost to the attack: the small third less the large third."""
    paired = Paired(found.groups)
    clean = KeptScores(found.clean.kept)
    for place, structure in enumerate(names):
        small, large = thirds(clean.true_volume[:, place])
        for attack, _, eps in [cell for cell in found.cells if cell[0] in SIZED]:
            if eps is None:
                continue
            under = found.at((attack, "Linf", eps))
            at = [mask & under.evaluated for mask in (small, large)]
            before, after = clean.dice[:, place], KeptScores(under.kept).dice[:, place]
            differences = [
                paired.difference((one, at[1]), (one, at[0]))
                for one in (before, after, before - after)
            ]
            either = np.flatnonzero(at[0] | at[1])
            groups = len({found.groups[row] for row in either})
            counts = [int(mask.sum()) for mask in at]
            size = [f"{255 * eps:g}", *counts, groups]
            yield [model, structure, attack, *size, *numbers(*differences)]


def sizes_of(found: Outcomes, *attacks: str) -> list[float]:
    """The eps in L-inf at which all of these attacks were run."""
    at = [{eps_of(cell) for cell in found.cells if cell[0] == name} for name in attacks]
    return sorted(set.intersection(*at) - {0.0})


def eps_of(cell: CellName) -> float:
    """Its eps in L-inf; 0 where it has none."""
    return cell[2] if cell[1] == "Linf" and cell[2] is not None else 0.0


def thirds(volume: Array) -> tuple[Mask, Mask]:
    """Cases with the smallest and with the largest third of a structure's true volumes."""
    low, high = np.quantile(volume[volume > 0], (1 / 3, 2 / 3))
    return (volume > 0) & (volume <= low), volume > high


def main(asked: Options) -> None:
    attacks: list[list[object]] = []
    sizes: list[list[object]] = []
    for model, folder, report in finished(asked):
        found = outcomes_of(folder, report)
        attacks += by_attack(model, found)
        sizes += by_size(model, found, report.task.structures)
    write_table(
        asked, "attacks", [*OF_ATTACKS, *interval("dice", "median", "accuracy", "well")], attacks
    )
    write_table(asked, "sizes", [*OF_SIZES, *interval("clean", "attacked", "lost")], sizes)


if __name__ == "__main__":
    started(main, __doc__, RESULTS)
