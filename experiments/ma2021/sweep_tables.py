"""The tables of the sweeps in RESULTS.md, as Markdown, of the members that were run.

Run, after `robust sweep experiments/ma2021/sweeps/NAME.toml --out runs/sweeps/NAME` for each of
chest, fundus, dermoscopy and capacity: `python -m experiments.ma2021.sweep_tables` (seconds). It
takes sweep.json and sweep.csv of each into `results/NAME`, where there is a newer one, and prints.
Members that were not run are named, and have no row.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from experiments.ma2021.common import Options, started
from experiments.ma2021.detection_tables import markdown
from robust.records import Estimate
from robust.records.estimate import interval_text
from robust.records.sweep import SWEEP, SweepMember, SweepReport
from robust.sweeps.collect import AUC, CLEAN_ACCURACY, DETECTOR_AUC, ROBUST_ACCURACY

CSV = "sweep.csv"
OUT = Path("runs/sweeps")
SWEEPS = ("chest", "fundus", "dermoscopy", "capacity")
MODALITIES = ("chest", "fundus", "dermoscopy")
ATTACKS = ("FGSM", "BIM", "PGD", "CW")
EPS = ("0.25/255", "1/255", "4/255")
FGSM_EPS = ("1/255", "4/255", "10/255")
CAPACITY_EPS = ("0.25/255", "0.5/255", "1/255", "2/255", "4/255")
ONE = "L∞ 1/255"
DETECTORS = (
    *("KernelDensity", "LID", "Mahalanobis", "DeepFeatures", "QuantizedFeatures", "MaxSoftmax"),
)
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

    def robust(self, member: SweepMember, condition: str) -> Estimate | None:
        return self.number(member, ROBUST_ACCURACY, condition)


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


def share(one: Estimate | None) -> str:
    """`91.2 [88.0, 94.1]`, in %."""
    return NONE if one is None else f"{100 * one.value:.1f} {interval_text(one, 100, 1)}"


def area(one: Estimate | None) -> str:
    """`.983 [.952, .995]`."""
    if one is None:
        return NONE
    return f"{one.value:.3f} {interval_text(one, 1, 3)}".replace("0.", ".")


def attack_table(sweeps: Sequence[Sweep]) -> str:
    """Accuracy of the images that are right when clean, by attack at 1/255."""
    rows = []
    for sweep, member in _members(sweeps, MODALITIES):
        found = {attack: sweep.robust(member, f"{attack}, {ONE}") for attack in ATTACKS}
        pgd = found["PGD"]
        rows.append(
            [
                f"{sweep.name}, {member.name}",
                share(sweep.number(member, CLEAN_ACCURACY, "clean")),
                area(sweep.number(member, AUC, "clean")),
                str(pgd.cases) if pgd else NONE,
                *map(share, found.values()),
                below(pgd, 0.01),
                "yes" if apart(found["FGSM"], pgd) else "not shown",
            ]
        )
    columns = ("", "clean", "AUC", "attacked", *ATTACKS, "PGD below 1 %", "FGSM weaker")
    return markdown(columns, rows)


def curve_table(
    sweeps: Sequence[Sweep], names: Iterable[str] = MODALITIES, eps: Sequence[str] = EPS
) -> str:
    """What no attack has turned, by eps."""
    rows = [
        [
            f"{sweep.name}, {member.name}",
            *(share(sweep.robust(member, f"worst case, L∞ {one}")) for one in eps),
        ]
        for sweep, member in _members(sweeps, names)
    ]
    return markdown(("", *eps), rows)


def fgsm_table(sweeps: Sequence[Sweep]) -> str:
    """FGSM alone, by eps: one longer step may do less."""
    rows = [
        [
            f"{sweep.name}, {member.name}",
            *(share(sweep.robust(member, f"FGSM, L∞ {one}")) for one in FGSM_EPS),
        ]
        for sweep, member in _members(sweeps, MODALITIES)
    ]
    return markdown(("", *FGSM_EPS), rows)


def detector_table(sweeps: Sequence[Sweep]) -> str:
    """Paired AUC of each detector against PGD at 1/255; bold: above .98, "below": below it.

    The last line has the least and the most of all null controls.
    """
    rows, controls = [], []
    for sweep, member in _members(sweeps, MODALITIES):
        cells = []
        for name in DETECTORS:
            fitted = name if name == "MaxSoftmax" else f"{name} fitted on PGD 1/255"
            one = sweep.number(member, DETECTOR_AUC, f"{fitted}, PGD, {ONE}")
            null = sweep.number(member, f"{DETECTOR_AUC}, null control", fitted)
            controls += [] if null is None else [null.value]
            shown = {"holds": "**{}**", "does not hold": "{} below"}.get(above(one, 0.98), "{}")
            cells.append(shown.format(area(one)) if one else NONE)
        rows.append([f"{sweep.name}, {member.name}", *cells])
    said = f"Null controls: {min(controls):.3f} to {max(controls):.3f}." if controls else ""
    return markdown(("", *DETECTORS), rows) + f"\n{said}"


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


def _members(sweeps: Sequence[Sweep], names: Iterable[str]) -> Iterable[tuple[Sweep, SweepMember]]:
    wanted = tuple(names)
    return [(s, m) for s in sweeps if s.name in wanted for m in s.report.finished]


def main(asked: Options) -> None:
    sweeps = take(OUT, asked.results())
    tables = (
        told(sweeps),
        attack_table(sweeps),
        curve_table(sweeps),
        fgsm_table(sweeps),
        curve_table(sweeps, ("capacity",), CAPACITY_EPS),
        detector_table(sweeps),
    )
    print("\n\n".join(tables))


if __name__ == "__main__":
    started(main, __doc__)
