"""The tables of the sweeps in RESULTS.md, as Markdown, of the members that were run.

Run, after `robust sweep experiments/ma2021/sweeps/NAME.toml --out runs/sweeps/NAME` for each of
chest, fundus, dermoscopy, capacity and architectures: `python -m experiments.ma2021.sweep_tables`
(seconds). It takes sweep.json and sweep.csv of each into `results/NAME`, where there is a newer
one, and prints.
A row has the seeds of one level side by side; members that were not run are named.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from experiments.ma2021.common import Options, span, started
from experiments.ma2021.detection_tables import markdown
from robust.records import Estimate
from robust.records.sweep import SWEEP, SweepMember, SweepReport
from robust.sweeps.collect import AUC, CLEAN_ACCURACY, DETECTOR_AUC, ROBUST_ACCURACY

CSV = "sweep.csv"
OUT = Path("runs/sweeps")
SWEEPS = ("chest", "fundus", "dermoscopy", "capacity", "architectures")
MODALITIES = ("chest", "fundus", "dermoscopy")
ATTACKS = ("FGSM", "BIM", "PGD", "CW")
EPS = ("0.25/255", "1/255", "4/255")
FGSM_EPS = ("1/255", "4/255", "10/255")
CAPACITY_EPS = ("0.25/255", "0.5/255", "1/255", "2/255", "4/255")
ONE = "L∞ 1/255"
DETECTORS = (
    *("KernelDensity", "LID", "Mahalanobis", "DeepFeatures", "QuantizedFeatures", "MaxSoftmax"),
)
STARTS = ("pretrained", "random")
NONE = "–"  # noqa: RUF001  (an en dash on purpose)
Verdict = Literal["holds", "does not hold", "not told apart"]


@dataclass(frozen=True)
class Sweep:
    """A sweep as it was read."""

    name: str
    report: SweepReport

    def number(self, member: SweepMember, measure: str, condition: str) -> Estimate | None:
        """One number of a member, or None."""
        return next(
            (
                n.estimate
                for n in self.report.numbers
                if (n.member, n.measure, n.condition) == (member.name, measure, condition)
            ),
            None,
        )


@dataclass(frozen=True)
class Level:
    """The members of a sweep that differ by their seed alone."""

    sweep: Sweep
    level: str
    members: Sequence[SweepMember]

    @property
    def name(self) -> str:
        return f"{self.sweep.name}, {self.level}"

    def numbers(self, measure: str, condition: str) -> list[Estimate | None]:
        """One number, of each seed."""
        return [self.sweep.number(member, measure, condition) for member in self.members]

    def robust(self, condition: str) -> list[Estimate | None]:
        return self.numbers(ROBUST_ACCURACY, condition)

    def detected(self, detector: str) -> list[Estimate | None]:
        """The paired AUC of a detector under PGD at 1/255."""
        return self.numbers(DETECTOR_AUC, f"{_fitted(detector)}, PGD, {ONE}")


def levels(sweeps: Sequence[Sweep], names: Iterable[str]) -> list[Level]:
    """What was run of the named sweeps, by everything but the seed."""
    wanted = tuple(names)
    found: list[Level] = []
    for sweep in sweeps:
        if sweep.name in wanted:
            by_level: dict[str, list[SweepMember]] = {}
            for member in sweep.report.finished:
                by_level.setdefault(member.name.rpartition(", seed")[0], []).append(member)
            found += [Level(sweep, level, members) for level, members in by_level.items()]
    return found


def below(one: Estimate | None, bound: float) -> Verdict:
    """Whether a share is shown to lie below a bound."""
    if one is None or one.low is None or one.high is None:
        return "not told apart"
    if one.high < bound:
        return "holds"
    return "does not hold" if one.low > bound else "not told apart"


def above(one: Estimate | None, bound: float) -> Verdict:
    """Whether a number is shown to lie above a bound."""
    if one is None or one.low is None or one.high is None:
        return "not told apart"
    if one.low > bound:
        return "holds"
    return "does not hold" if one.high < bound else "not told apart"


def apart(more: Estimate | None, less: Estimate | None) -> bool:
    """Whether the interval of the first lies above that of the second."""
    if more is None or less is None or more.low is None or less.high is None:
        return False
    return more.low > less.high


def shares(found: Sequence[Estimate | None]) -> str:
    """`91.2, 90.4 [88.0, 94.1]`, in %: a value for each seed, and what their intervals span."""
    return _joined(found, 100, 1)


def areas(found: Sequence[Estimate | None]) -> str:
    """`.983, .976 [.952, .995]`: a value for each seed, and what their intervals span."""
    return _joined(found, 1, 3).replace("0.", ".")


def counted(verdicts: Iterable[str]) -> str:
    """`yes` where all agree, else `2 yes, 1 not told apart`."""
    found = list(verdicts)
    kinds = Counter(found)
    if len(kinds) == 1:
        return found[0]
    return ", ".join(f"{count} {kind}" for kind, count in kinds.items())


def attack_table(sweeps: Sequence[Sweep]) -> str:
    """Accuracy of the images that are right when clean, by attack at 1/255."""
    rows = []
    for level in levels(sweeps, MODALITIES):
        found = {attack: level.robust(f"{attack}, {ONE}") for attack in ATTACKS}
        pairs = zip(found["FGSM"], found["PGD"], strict=True)
        rows.append(
            [
                level.name,
                shares(level.numbers(CLEAN_ACCURACY, "clean")),
                areas(level.numbers(AUC, "clean")),
                ", ".join(str(one.cases) if one else NONE for one in found["PGD"]),
                *map(shares, found.values()),
                counted(below(one, 0.01) for one in found["PGD"]),
                counted("yes" if apart(fgsm, pgd) else "not shown" for fgsm, pgd in pairs),
            ]
        )
    columns = ("", "clean", "AUC", "attacked", *ATTACKS, "PGD below 1 %", "FGSM weaker")
    return markdown(columns, rows)


def curve_table(
    sweeps: Sequence[Sweep], names: Iterable[str] = MODALITIES, eps: Sequence[str] = EPS
) -> str:
    """What no attack has turned, by eps."""
    rows = [
        [level.name, *(shares(level.robust(f"worst case, L∞ {one}")) for one in eps)]
        for level in levels(sweeps, names)
    ]
    return markdown(("", *eps), rows)


def capacity_table(sweeps: Sequence[Sweep], name: str) -> str:
    """As `curve_table`, with what the networks make of unmodified images."""
    rows = [
        [
            level.name,
            shares(level.numbers(CLEAN_ACCURACY, "clean")),
            areas(level.numbers(AUC, "clean")),
            *(shares(level.robust(f"worst case, L∞ {one}")) for one in CAPACITY_EPS),
        ]
        for level in levels(sweeps, (name,))
    ]
    return markdown(("", "clean", "AUC", *CAPACITY_EPS), rows)


def fgsm_table(sweeps: Sequence[Sweep]) -> str:
    """FGSM alone, by eps: one longer step may do less."""
    rows = [
        [level.name, *(shares(level.robust(f"FGSM, L∞ {one}")) for one in FGSM_EPS)]
        for level in levels(sweeps, MODALITIES)
    ]
    return markdown(("", *FGSM_EPS), rows)


def detector_table(sweeps: Sequence[Sweep]) -> str:
    """Paired AUC of each detector against PGD at 1/255; how many seeds lie above or below .98.

    The last line has the least and the most of all null controls.
    """
    rows, controls = [], []
    for level in levels(sweeps, MODALITIES):
        cells = []
        for name in DETECTORS:
            found = level.detected(name)
            nulls = level.numbers(f"{DETECTOR_AUC}, null control", _fitted(name))
            controls += [null.value for null in nulls if null]
            cells.append(areas(found) + _said([above(one, 0.98) for one in found]))
        rows.append([level.name, *cells])
    said = f"Null controls: {min(controls):.3f} to {max(controls):.3f}." if controls else ""
    return markdown(("", *DETECTORS), rows) + f"\n{said}"


def detector_counts(sweeps: Sequence[Sweep]) -> str:
    """Of how many networks the AUC of `detector_table` lies above or below .98, by their start."""
    rows = []
    for start in STARTS:
        levels_of = [one for one in levels(sweeps, MODALITIES) if start in one.level]
        networks = sum(len(one.members) for one in levels_of)
        cells = []
        for name in DETECTORS:
            verdicts = [above(one, 0.98) for level in levels_of for one in level.detected(name)]
            cells.append(f"{verdicts.count('holds')} / {verdicts.count('does not hold')}")
        rows.append([f"{start}, {networks} networks", *cells])
    return markdown(("above / below .98", *DETECTORS), rows)


def doubt_table(sweeps: Sequence[Sweep]) -> str:
    """The warnings of the audits, each with the number of seeds that it stands beside."""
    rows = []
    for level in levels(sweeps, SWEEPS):
        found = Counter(flag for member in level.members for flag in member.flags)
        of = len(level.members)
        rows.append([level.name, "; ".join(f"{flag}: {n} of {of}" for flag, n in found.items())])
    return markdown(("", "warnings"), [[name, said or "none"] for name, said in rows])


def told(sweeps: Sequence[Sweep]) -> str:
    """Which members were run, and which were not."""
    lines = []
    for sweep in sweeps:
        done = {member.name for member in sweep.report.finished}
        left = [member.name for member in sweep.report.members if member.name not in done]
        lines.append(f"- {sweep.name}: {len(done)} of {len(sweep.report.members)} were run.")
        if left:
            lines[-1] += f" Not run: {'; '.join(left)}."
    return "\n".join(lines)


def take(out: Path, results: Path) -> list[Sweep]:
    """The sweeps of a folder, their tables copied to the results; those that are there without."""
    found = []
    for name in SWEEPS:
        source, target = out / name, results / name
        if (source / SWEEP).exists() and (source / CSV).exists():
            target.mkdir(parents=True, exist_ok=True)
            for file in (SWEEP, CSV):
                shutil.copyfile(source / file, target / file)
        if (target / SWEEP).exists():
            found.append(Sweep(name, SweepReport.load(target)))
    return found


def _joined(found: Sequence[Estimate | None], factor: int, digits: int) -> str:
    values = ", ".join(NONE if one is None else f"{factor * one.value:.{digits}f}" for one in found)
    return values + span(found, factor, digits)


def _fitted(detector: str) -> str:
    return detector if detector == "MaxSoftmax" else f"{detector} fitted on PGD 1/255"


def _said(verdicts: Sequence[Verdict]) -> str:
    """` (2 above, 1 below)`: of how many seeds the interval tells."""
    words = (("holds", "above"), ("does not hold", "below"))
    told = [f"{verdicts.count(one)} {word}" for one, word in words if one in verdicts]
    return f" ({', '.join(told)})" if told else ""


def main(asked: Options) -> None:
    sweeps = take(OUT, asked.results())
    tables = (
        told(sweeps),
        attack_table(sweeps),
        curve_table(sweeps),
        fgsm_table(sweeps),
        capacity_table(sweeps, "capacity"),
        capacity_table(sweeps, "architectures"),
        detector_table(sweeps),
        detector_counts(sweeps),
        doubt_table(sweeps),
    )
    print("\n\n".join(tables))


if __name__ == "__main__":
    started(main, __doc__)
