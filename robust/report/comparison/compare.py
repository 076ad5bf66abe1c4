"""Two runs on the same cases: what changed, each difference with its paired interval."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from robust.errors import InputError
from robust.metrics.bootstrap import Bootstrap
from robust.metrics.paired import Paired
from robust.metrics.scores import Condition, Mask
from robust.records import Estimate, Report
from robust.report import read_report
from robust.report.comparison.outcomes import (
    CellName,
    Outcomes,
    Places,
    find_cell,
    read_table,
    readable,
    select_cases,
)
from robust.report.text.format import bracket, counted, listed, plain, short
from robust.units import eps_text, norm_text


@dataclass(frozen=True)
class Change:
    """One number in both runs, and NEW - OLD. More is better in all of them."""

    score: str
    condition: str
    old: Estimate
    new: Estimate
    difference: Estimate
    overall: bool
    """Of clean images or the worst case, not of one attack."""

    @property
    def guarded(self) -> bool:
        """Whether a tolerance watches over it."""
        watched = "accuracy" if self.condition == "clean" else "robust accuracy"
        return self.overall and self.score == watched

    @property
    def word(self) -> str:
        if self.difference.low > 0:
            return "better"
        return "worse" if self.difference.high < 0 else "no difference shown"

    def against(self, tolerance: float) -> str:
        """Whether more than the tolerance was lost, as far as the interval can tell."""
        if self.difference.high < -tolerance:
            return "lost more"
        return "kept" if self.difference.low >= -tolerance else "undecided"

    def lost_text(self, tolerance: float) -> str:
        """`robust accuracy, worst case, L∞ 1/255: -12.3 [-15.0, -9.9] of 100, ...`."""
        d = self.difference
        return (
            f"{self.score}, {self.condition}: {100 * d.value:+.1f} {bracket(d)} of 100, "
            f"surely more than {100 * tolerance:g} lost"
        )


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side, on the cases that both audited."""

    old: str
    new: str
    cases: int
    groups: int
    only_old: int
    only_new: int
    changes: tuple[Change, ...]
    notes: tuple[str, ...]
    """What stands in the way of comparing."""

    def lost(self, tolerance: float) -> list[Change]:
        """Where surely more than that was lost."""
        return [c for c in self.changes if c.guarded and c.against(tolerance) == "lost more"]


def compare_runs(old: Path, new: Path) -> Comparison:
    """Compare two finished run directories. InputError where they cannot be compared."""
    before, after = read_report(old), read_report(new)
    _check_alike(before, after)
    tables = _table(old, before), _table(new, after)
    known = [readable(table).set_index("case") for table in tables]
    names = [name for name in known[0].index if name in known[1].index]
    if not names:
        raise InputError(
            f"{old} and {new} have no case in common: {_source(before)} there, {_source(after)} "
            f"here"
        )
    for name, a, b in zip(names, known[0]["label"][names], known[1]["label"][names], strict=True):
        if a != b:
            raise InputError(
                f"case {plain(name)} is {plain(a)} in {old} and {plain(b)} in {new}; "
                f"compare runs on the same labels"
            )
    first, second = select_cases(tables[0], before, names), select_cases(tables[1], after, names)
    if not _same_groups(first, second):
        raise InputError(
            f"{old} and {new} put the same cases into other groups; give both the same group "
            f"column in [data]"
        )
    only_old, only_new = (len(table) - len(names) for table in known)
    shared, notes = _shared_cells(first, second, before, after)
    return Comparison(
        str(old),
        str(new),
        len(names),
        len(set(first.groups)),
        only_old,
        only_new,
        tuple(_Pair(first, second, before, after, shared).changes()),
        (*notes, *_doubts(before, after, only_old, only_new)),
    )


def _table(run: Path, report: Report) -> pd.DataFrame:
    return read_table(run if run.is_dir() else run.parent, report)


class _Pair:
    """What two runs made of the same cases, both against the same resamples."""

    def __init__(
        self, old: Outcomes, new: Outcomes, before: Report, after: Report, cells: list[CellName]
    ) -> None:
        self._runs = old, new
        self._reports = before, after
        self._cells = cells
        self._single, self._paired = Bootstrap(old.groups), Paired(old.groups)
        names = list(before.data.classes)
        same = before.data.findings == after.data.findings
        found = before.data.findings or () if same else ()
        self._findings: Places = np.array([names.index(name) for name in found], dtype=np.int64)

    def changes(self) -> Iterator[Change]:
        """Clean, then the worst case at each eps, then attack by attack."""
        old, new = self._runs
        yield from self._scores("clean", old.clean, new.clean, overall=True)
        other = {(row.norm, row.eps) for row in self._reports[1].worst_cases}
        for row in self._reports[0].worst_cases:
            if (row.norm, row.eps) in other:
                before, after = (r.worst(row.norm, row.eps, self._cells) for r in self._runs)
                where = f"worst case, {norm_text(row.norm)} {eps_text(row.eps, row.norm)}"
                yield from self._scores(where, before, after, overall=True)
        listed = {(row.attack, row.norm, row.eps): row for row in self._reports[1].results}
        for row in self._reports[0].results:
            twin = listed.get((row.attack, row.norm, row.eps))
            if twin is None:
                continue
            try:
                cells = [
                    find_cell(self._cells, r.same_as or r.attack, r.norm, r.eps)
                    for r in (row, twin)
                ]
            except KeyError:
                continue
            before, after = (run.at(cell) for run, cell in zip(self._runs, cells, strict=True))
            where = f"{plain(row.attack)}, {norm_text(row.norm)} {eps_text(row.eps, row.norm)}"
            yield from self._scores(where, before, after)

    def _scores(
        self, condition: str, old: Condition, new: Condition, overall: bool = False
    ) -> Iterator[Change]:
        labels = self._runs[0].labels
        sick = np.isin(labels, self._findings)
        asked = np.full(len(labels), bool(len(self._findings)))
        predicted = [side.logits.argmax(1) for side in (old, new)]
        right = [prediction == labels for prediction in predicted]
        called = [np.isin(prediction, self._findings) for prediction in predicted]
        told = [side.countable for side in (old, new)]
        plain_ones: list[tuple[str, list[Mask], list[Mask]]] = [
            ("robust accuracy", right, [side.evaluated for side in (old, new)]),
            ("accuracy", right, told),
            ("sensitivity", called, [t & sick & asked for t in told]),
            ("specificity", [~c for c in called], [t & ~sick & asked for t in told]),
        ]
        for score, values, masks in plain_ones:
            sides = list(zip(values, masks, strict=True))
            before, after = self._single.rates(sides)
            difference = self._paired.difference(*sides)
            if before is not None and after is not None and difference is not None:
                yield Change(score, condition, before, after, difference, overall)


def _check_alike(old: Report, new: Report) -> None:
    """InputError where the same words do not mean the same thing."""
    a, b = (list(report.data.classes) for report in (old, new))
    if a != b:
        raise InputError(
            f"the classes differ: {listed([short(n) for n in a], 6)} before, "
            f"{listed([short(n) for n in b], 6)} now; compare runs on the same classes, in one "
            f"order"
        )
    for name in ("goal", "target"):
        before, after = (report.plan["audit"].get(name) for report in (old, new))
        if before != after:
            raise InputError(
                f"the attacker's {name} was {before!r} and is {after!r}: robust accuracy counts "
                f"other cases then; compare runs with the same one"
            )


def _same_groups(old: Outcomes, new: Outcomes) -> bool:
    """Whether the same cases share a group in both, whatever the groups are called."""
    pairs = set(zip(old.groups, new.groups, strict=True))
    return len(pairs) == len(set(old.groups)) == len(set(new.groups))


def _shared_cells(
    old: Outcomes, new: Outcomes, before: Report, after: Report
) -> tuple[list[CellName], list[str]]:
    """What both runs did, attack by attack; worst cases are over these alone."""
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
        notes.append(f"{names}: other parameters in the two runs, and so left out")
    if left := sorted({plain(c[0]) for c in (*mine, *theirs) if not _among(shared, c)}):
        notes.append(
            f"the worst case is over the attacks at the eps that both runs ran; not all of "
            f"{listed(left, 6)} are among them, and the reports' own worst cases may be lower"
        )
    return shared, notes


def _among(cells: list[CellName], cell: CellName) -> bool:
    try:
        find_cell(cells, *cell)
    except KeyError:
        return False
    return True


def _doubts(old: Report, new: Report, only_old: int, only_new: int) -> list[str]:
    notes = []
    if only_old or only_new:
        notes.append(
            f"compared on the cases that both hold: {counted(only_old, 'case')} in OLD alone, "
            f"{counted(only_new, 'case')} in NEW alone"
        )
    elif old.data.pixels_sha256 != new.data.pixels_sha256:
        notes.append("the cases bear the same names, but not all their pixels are the same")
    if old.data.findings != new.data.findings:
        notes.append("other classes count as findings: no sensitivity, no specificity")
    return notes


def _source(report: Report) -> str:
    return f"{short(report.data.source)}, split {short(report.data.split)}"
