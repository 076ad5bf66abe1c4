"""The table of calibration: ECE and Brier score, without attack and in the worst cases."""

from __future__ import annotations

from robust.records import Report
from robust.report.tables.model import (
    Column,
    Table,
    TableCell,
    TableRow,
    auc_cell,
    percent_cell,
)
from robust.report.text.format import NONE, condition
from robust.units import printed_threat

NOTE = (
    "In brackets: 95 % intervals, by group. Over all cases, those misread before an attack "
    "included. By chance: what the expected calibration error would be if the probabilities were "
    "exactly right. Under attack each case shows the most damaging image."
)


def calibration_table(report: Report) -> Table:
    """A row without attack and for each worst case; no row where there are no probabilities."""
    columns = (
        Column("condition"),
        Column("ECE %", "ece"),
        Column("by chance %"),
        Column("Brier score", "brier"),
    )
    places = [("/clean", report.clean)]
    places += [(f"/worst_cases/{i}", row) for i, row in enumerate(report.worst_cases)]
    rows = []
    for path, row in places:
        scores = row.scores
        if scores.ece is None and scores.brier is None:
            continue
        chance = NONE if scores.ece_chance is None else f"{100 * scores.ece_chance:.1f}"
        name = condition(row)
        if row.kind != "clean":
            name = f"worst case, {printed_threat(row.norm, row.eps)}"
        rows.append(
            TableRow(
                (
                    TableCell(name),
                    percent_cell(scores.ece, f"{path}/scores/ece"),
                    TableCell(chance),
                    auc_cell(scores.brier, f"{path}/scores/brier"),
                ),
                strong=row.kind != "clean",
            )
        )
    return Table("calibration", "Calibration", columns, tuple(rows), NOTE)
