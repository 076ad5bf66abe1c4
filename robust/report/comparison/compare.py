"""Compares two runs on the same cases: each difference with its paired interval by group."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robust.errors import InputError
from robust.metrics.arrays import Array, Mask, Places
from robust.metrics.by_group import ByGroup
from robust.metrics.outlines.scorer import OutlineStandard
from robust.metrics.paired import Paired
from robust.metrics.scores import Condition
from robust.records import AuditedTask, Estimate, Report
from robust.records.flags import voiding
from robust.records.verdicts import WITHHELD, is_withheld
from robust.report import read_report
from robust.report.comparison.case_tables import CaseChange, case_changes
from robust.report.comparison.judges import (
    CLEAN_SCORES,
    ROBUST_SCORES,
    ClassJudge,
    Judge,
    OutlineJudge,
)
from robust.report.comparison.outcomes import (
    CellName,
    Outcomes,
    find_cell,
    read_table,
    readable,
    select_cases,
)
from robust.report.text.format import bracket, counted, listed, plain, short, told_apart
from robust.units import printed_threat

EQUAL = "equal on every case"
"""Result of a score for which the runs do not differ on any case."""


@dataclass(frozen=True)
class Change:
    """One number in both runs, and NEW - OLD. More is better in all of them."""

    score: str
    """Name of the score, such as `robust accuracy`."""
    condition: str
    """`clean`, `worst case, L∞ 1/255`, or an attack with its eps."""
    old: Estimate
    """The score in OLD, in [0, 1]."""
    new: Estimate
    """The score in NEW, in [0, 1]."""
    difference: Estimate
    """NEW - OLD, in [-1, 1], with its paired interval."""
    overall: bool
    """Whether it is of clean images or of the worst case, not of one attack."""
    equal: bool = False
    """Whether both runs count the same cases, and every one of them in the same way."""
    void_gain: str = ""
    """Which warning voids a gain, and of which run: `gradients vanish in NEW`; empty for none."""
    void_loss: str = ""
    """The same of a loss."""

    @property
    def tolerance_applies(self) -> bool:
        """Whether a tolerance applies to it."""
        watched = CLEAN_SCORES if self.condition == "clean" else ROBUST_SCORES
        return self.overall and self.score in watched

    @property
    def result(self) -> str:
        """`equal on every case`; `better` or `worse` where the interval is on one side of 0.

        `no verdict: ` where it is void: that a number is too high in NEW voids a gain, in OLD a
        loss.
        """
        if self.equal:
            return EQUAL
        low, high = self.difference.interval or (-1.0, 1.0)
        if low > 0:
            return _or_void("better", self.void_gain)
        return _or_void("worse", self.void_loss) if high < 0 else "no difference shown"

    def tolerance_result(self, tolerance: float) -> str:
        """`lost more` than the tolerance, `kept` or `undecided`; `no verdict: ` where void."""
        if self.difference.is_below(-tolerance):
            return _or_void("lost more", self.void_loss)
        if self.difference.is_at_least(-tolerance):
            return _or_void("kept", self.void_gain)
        return "undecided"

    def lost_text(self, tolerance: float) -> str:
        """One line: `robust accuracy, worst case, L∞ 1/255: -12.3 [-15.0, -9.9] of 100, ...`."""
        d = self.difference
        return (
            f"{self.score}, {self.condition}: {100 * d.value:+.1f} {bracket(d)} of 100, "
            f"a loss of more than {100 * tolerance:g} is shown"
        )

    def withheld_text(self, tolerance: float) -> str:
        """One line: `robust accuracy, clean: no verdict: gradients vanish in NEW`."""
        return f"{self.score}, {self.condition}: {self.tolerance_result(tolerance)}"


def _or_void(word: str, why: str) -> str:
    return f"{WITHHELD}: {why}" if why else word


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side, on the cases that both audited."""

    old: str
    """Title of the first run's report, and the beginning of its table's hash; no path."""
    new: str
    """The same of the second run."""
    cases: int
    """Number of cases in both."""
    groups: int
    """Number of groups among them."""
    only_old: int
    """Number of cases in OLD alone."""
    only_new: int
    """Number of cases in NEW alone."""
    agree: bool
    """Whether the predictions are equal on every case, clean and under every attack of both."""
    differ: int
    """Number of cases on which they are not."""
    changes: tuple[Change, ...]
    """All scores: clean, worst case at each eps, then attack by attack."""
    notes: tuple[str, ...]
    """Caveats of this comparison."""

    def lost(self, tolerance: float) -> list[Change]:
        """Changes whose whole interval shows a loss of more than the tolerance."""
        return [
            c
            for c in self.changes
            if c.tolerance_applies and c.tolerance_result(tolerance) == "lost more"
        ]

    def withheld(self, tolerance: float) -> list[Change]:
        """Changes that the tolerance applies to and that get no verdict."""
        return [
            c
            for c in self.changes
            if c.tolerance_applies and is_withheld(c.tolerance_result(tolerance))
        ]


RUNS = ("OLD", "NEW")
"""What the two runs are called."""


def not_finished(run: Path, report: Report) -> InputError:
    """The error for a run whose report says that it was cut short."""
    return InputError(
        f"the run in {run} is not finished; missing: {report.missing_text}; give the same audit "
        f"command again"
    )


def compare_runs(old: Path, new: Path) -> Comparison:
    """Compare two finished run directories. InputError where they cannot be compared."""
    before, after = read_report(old), read_report(new)
    for run, report in ((old, before), (new, after)):
        if report.cut_short:
            raise not_finished(run, report)
    _check_alike(before, after)
    tables = read_table(_folder(old), before), read_table(_folder(new), after)
    usable = [readable(table).set_index("case") for table in tables]
    names = [name for name in usable[0].index if name in usable[1].index]
    if not names:
        raise InputError(
            f"{old} and {new} have no case in common: {_source(before)} in OLD, {_source(after)} "
            f"in NEW"
        )
    for name, a, b in zip(names, usable[0]["label"][names], usable[1]["label"][names], strict=True):
        if a != b:
            raise InputError(
                f"case {plain(name)} is {plain(a)} in {old} and {plain(b)} in {new}; "
                f"compare runs on the same labels"
            )
    first, second = select_cases(tables[0], before, names), select_cases(tables[1], after, names)
    if not _same_groups(first, second):
        raise InputError(
            f"{old} and {new} group the same cases differently; give both the same group column "
            f"in [data]"
        )
    only_old, only_new = (len(table) - len(names) for table in usable)
    shared, notes = _shared_cells(first, second, before, after)
    pair = _Pair((first, second), (before, after), shared)
    folders = _folder(old), _folder(new)
    others, left_out = case_changes(folders, (before, after))
    differ = pair.differing_cases()
    return Comparison(
        old=_named(before),
        new=_named(after),
        cases=len(names),
        groups=len(set(first.groups)),
        only_old=only_old,
        only_new=only_new,
        agree=not differ,
        differ=differ,
        changes=(*pair.changes(), *(pair.change(one) for one in others)),
        notes=(*notes, *left_out, *_caveats(before, after, only_old, only_new)),
    )


def _named(report: Report) -> str:
    """A run by its title and its content: the name of its folder may be a patient's."""
    table = report.table_sha256[:8]
    return f"{report.title} (outcomes.csv {table})" if table else report.title


def _folder(run: Path) -> Path:
    return run if run.is_dir() else run.parent


class _Pair:
    """Two runs on the same cases, OLD first."""

    def __init__(
        self,
        runs: tuple[Outcomes, Outcomes],
        reports: tuple[Report, Report],
        cells: list[CellName],
    ) -> None:
        """`cells` are the attacks that both ran alike."""
        self._runs, self._reports, self._cells = runs, reports, cells
        self._single, self._paired = ByGroup(runs[0].groups), Paired(runs[0].groups)
        self._judge = _judge(runs, reports)

    def differing_cases(self) -> int:
        """Cases whose predictions differ, clean or under an attack that both ran alike."""
        old, new = self._runs
        differs = np.zeros(len(old.labels), bool)
        pairs = [(old.clean, new.clean)]
        for cell in self._cells:
            pairs.append((old.at(cell), new.at(find_cell(new.cells, *cell))))
        for a, b in pairs:
            differs |= self._judge.differ(a.kept, b.kept)
            differs |= (a.attacked != b.attacked) | (a.failed != b.failed)
        return int(differs.sum())

    def changes(self) -> Iterator[Change]:
        """Clean, then the worst case at each eps, then attack by attack."""
        old, new = self._runs
        yield from self._scores("clean", old.clean, new.clean, overall=True)
        other_threats = {(row.norm, row.eps) for row in self._reports[1].worst_cases}
        for row in self._reports[0].worst_cases:
            if (row.norm, row.eps) in other_threats:
                before, after = (
                    run.worst(row.norm, row.eps, self._cells, self._judge) for run in self._runs
                )
                condition = f"worst case, {printed_threat(row.norm, row.eps)}"
                yield from self._scores(condition, before, after, overall=True)
        listed = {(row.attack, row.norm, row.eps): row for row in self._reports[1].rows}
        for row in self._reports[0].rows:
            other_row = listed.get((row.attack, row.norm, row.eps))
            if other_row is None:
                continue
            try:
                cells = [
                    find_cell(self._cells, r.same_as or r.attack, r.norm, r.eps)
                    for r in (row, other_row)
                ]
            except KeyError:
                continue
            before, after = (run.at(cell) for run, cell in zip(self._runs, cells, strict=True))
            condition = f"{plain(row.attack)}, {printed_threat(row.norm, row.eps)}"
            yield from self._scores(condition, before, after)

    def change(self, one: CaseChange) -> Change:
        """A change from the tables of certificates and corruptions, with what voids it."""
        void = self._void() if one.attacked else ("", "")
        return Change(
            *(one.score, one.condition, one.old, one.new, one.difference),
            overall=True,
            equal=one.equal,
            void_gain=void[0],
            void_loss=void[1],
        )

    def _scores(
        self, condition: str, old: Condition, new: Condition, overall: bool = False
    ) -> Iterator[Change]:
        for score in self._judge.scores((old, new)):
            sides = list(zip(score.values, score.masks, strict=True))
            before, after = (self._estimate(values, mask, score.kind) for values, mask in sides)
            difference = self._difference(sides, score.kind)
            if before is not None and after is not None and difference is not None:
                (a, in_a), (b, in_b) = sides
                equal = bool((in_a == in_b).all() and (a == b)[in_a].all())
                void = ("", "") if condition == "clean" else self._void()
                yield Change(
                    score.name, condition, before, after, difference, overall, equal, *void
                )

    def _estimate(self, values: Array | Mask, mask: Mask, kind: str) -> Estimate | None:
        if kind == "share":
            return self._single.rate(values, mask)
        return (
            self._single.mean(values, mask) if kind == "mean" else self._single.median(values, mask)
        )

    def _difference(self, sides: Sequence[tuple[Array | Mask, Mask]], kind: str) -> Estimate | None:
        (old, in_old), (new, in_new) = sides
        if kind == "median":
            change = np.asarray(new, np.float64) - np.asarray(old, np.float64)
            return self._single.median(change, in_old & in_new)
        return self._paired.difference((old, in_old), (new, in_new))

    def _void(self) -> tuple[str, str]:
        """Which warnings void a gain and a loss under attack."""
        old, new = (report.flags for report in self._reports)
        both = [voiding(flags, "attacks") for flags in (old, new)]
        texts = [f"{plain(f.name)} in {run}" for f, run in zip(both, RUNS, strict=True) if f]
        if texts:
            return texts[-1], texts[-1]
        gain, loss = voiding(new, "robustness"), voiding(old, "robustness")
        return (
            f"{plain(gain.name)} in NEW" if gain else "",
            f"{plain(loss.name)} in OLD" if loss else "",
        )


def _judge(runs: tuple[Outcomes, Outcomes], reports: tuple[Report, Report]) -> Judge:
    """What the task of both runs compares them by."""
    old, new = reports
    task = old.task
    if task.is_segmentation:
        standard = OutlineStandard(task.dice, task.drop)
        return OutlineJudge(task.structures, standard, (runs[0].clean.kept, runs[1].clean.kept))
    names = list(old.data.classes)
    findings = old.data.findings if old.data.findings == new.data.findings else ()
    places: Places = np.array([names.index(name) for name in findings], dtype=np.int64)
    return ClassJudge(runs[0].labels, places)


def _check_alike(old: Report, new: Report) -> None:
    """InputError where the same names do not mean the same thing."""
    if old.task.name != new.task.name:
        raise InputError(
            f"OLD is an audit of {old.task.name}, NEW of {new.task.name}; compare runs of one task"
        )
    for entry in dataclasses.fields(AuditedTask):
        was, now = (getattr(report.task, entry.name) for report in (old, new))
        if was != now:
            raise InputError(
                f"the {entry.name} of the outlines was {was!r} and is {now!r}; compare runs with "
                f"the same {entry.name}"
            )
    a, b = (list(report.data.classes) for report in (old, new))
    if a != b:
        raise InputError(
            f"the classes differ: {listed(told_apart(a), 6)} before, "
            f"{listed(told_apart(b), 6)} now; compare runs on the same classes in the same "
            f"order"
        )
    for name in ("goal", "target"):
        before, after = (report.plan["audit"].get(name) for report in (old, new))
        if before != after:
            raise InputError(
                f"the attacker's {name} was {before!r} and is {after!r}, so robust accuracy counts "
                f"other cases; compare runs with the same {name}"
            )


def _same_groups(old: Outcomes, new: Outcomes) -> bool:
    """Whether the same cases share a group in both, whatever the groups are called."""
    pairs = set(zip(old.groups, new.groups, strict=True))
    return len(pairs) == len(set(old.groups)) == len(set(new.groups))


def _shared_cells(
    old: Outcomes, new: Outcomes, before: Report, after: Report
) -> tuple[list[CellName], list[str]]:
    """Attacks that both runs ran alike, with notes on the others; worst cases are over these."""
    mine, theirs = old.cells, new.cells
    shared: list[CellName] = []
    changed: list[str] = []
    for cell in mine:
        try:
            find_cell(theirs, *cell)
        except KeyError:
            continue
        if before.attacks.get(cell[0]) == after.attacks.get(cell[0]):
            shared.append(cell)
        else:
            changed.append(plain(cell[0]))
    notes = []
    if changed:
        names = listed(list(dict.fromkeys(changed)), 6)
        notes.append(f"{names}: parameters differ between the two runs, so left out")
    if left := sorted({plain(c[0]) for c in (*mine, *theirs) if not _among(shared, c)}):
        notes.append(
            f"the worst case is over the attacks and eps that both runs have; not all of "
            f"{listed(left, 6)} are among them, so the reports' own worst cases may be lower"
        )
    return shared, notes


def _among(cells: list[CellName], cell: CellName) -> bool:
    try:
        find_cell(cells, *cell)
    except KeyError:
        return False
    return True


def _caveats(old: Report, new: Report, only_old: int, only_new: int) -> list[str]:
    notes = []
    for run, report in zip(RUNS, (old, new), strict=True):
        flag = voiding(report.flags, "robustness")
        if flag is not None:
            notes.append(f"{run}: {plain(flag.name)} ({plain(flag.observed)})")
        if not report.is_finished:
            notes.append(f"{run} is not finished; missing: {report.missing_text}")
    if only_old or only_new:
        notes.append(
            f"compared on the cases that both runs have: {counted(only_old, 'case')} in OLD alone, "
            f"{counted(only_new, 'case')} in NEW alone"
        )
    elif old.data.pixels_sha256 != new.data.pixels_sha256:
        notes.append("the cases have the same names, but some of their pixels differ")
    if old.data.findings != new.data.findings:
        notes.append(
            "the runs count other classes as findings: sensitivity and specificity are left out"
        )
    return notes


def _source(report: Report) -> str:
    return f"{short(report.data.source)}, split {short(report.data.split)}"
