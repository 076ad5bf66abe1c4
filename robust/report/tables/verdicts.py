"""The table of verdicts: each threat in words, with the numbers that its verdict rests on."""

from __future__ import annotations

from collections.abc import Callable

from robust.records import Report
from robust.report.tables.model import Column, Table, TableCell, TableRow, percent_cell
from robust.report.text.format import NONE
from robust.report.text.headline import Verdict, verdicts
from robust.report.text.words import words


def verdict_table(report: Report) -> Table:
    """One row for each threat; columns without any entry are left out."""
    listed_verdicts, correct = verdicts(report), words(report).correct
    columns = [
        Column("the attacker may", "threat-model"),
        Column("verdict"),
        Column(f"still {correct} %", "robust-accuracy"),
    ]
    optional: list[tuple[Column, Callable[[Verdict], TableCell]]] = []
    if any(v.strongest for v in listed_verdicts):
        column = Column("strongest attacks")
        optional.append((column, lambda v: TableCell(", ".join(v.strongest) or NONE)))
    if any(v.noise for v in listed_verdicts):
        column = Column(f"still {correct} after random noise of the same size %", "noise-control")
        optional.append((column, lambda v: _noise_cell(report, v)))
    rows = []
    for place, v in enumerate(listed_verdicts):
        robust_accuracy = v.worst_case.scores.robust_accuracy
        cells = (
            TableCell(v.threat[0].upper() + v.threat[1:]),
            TableCell(v.word),
            percent_cell(robust_accuracy, f"/worst_cases/{place}/scores/robust_accuracy"),
            *(make(v) for _, make in optional),
        )
        rows.append(TableRow(cells))
    every = (*columns, *(column for column, _ in optional))
    return Table("verdicts", "Verdict for each threat", every, tuple(rows))


def _noise_cell(report: Report, verdict: Verdict) -> TableCell:
    if verdict.noise is None:
        return TableCell(NONE)
    path = f"/rows/{report.rows.index(verdict.noise)}/scores/robust_accuracy"
    return percent_cell(verdict.noise.scores.robust_accuracy, path)
