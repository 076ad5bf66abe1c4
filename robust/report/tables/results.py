"""The table of all results: scores without attack, under every attack and in the worst case."""

from __future__ import annotations

from robust.records import AttackResult, Report, Scores
from robust.report.tables.model import (
    Column,
    Table,
    TableCell,
    TableRow,
    auc_cell,
    percent_cell,
)
from robust.report.text.format import condition, distance_text, median_distance, plain
from robust.report.text.words import words
from robust.units import printed_threat

OVERALL = ("clean", "worst case")
"""Conditions that stand for all attacks, as `AttackResult.attack` calls them."""


def results_table(report: Report) -> Table:
    """Clean, every attack at every eps, and the worst case."""
    rows_of = conditions(report)
    said = words(report)
    shown = [c for c in said.columns if any(getattr(row.scores, c.name) for _, row in rows_of)]
    columns = (
        Column("condition"),
        *(Column(column.title, column.term) for column in shown),
        Column("median distance", "distance"),
    )
    rows = []
    before = None
    for path, row in rows_of:
        distance = median_distance(row)
        at = "" if distance is None else f"{path}/scores/median_{row.norm.lower()}"
        cells = (
            TableCell(_described(row)),
            *(score_cell(row.scores, column.name, f"{path}/scores") for column in shown),
            TableCell(distance_text(distance, row.norm), path=at),
        )
        filters = {"attack": plain(row.attack), "eps": _eps(row)}
        opens = row.attack != before
        rows.append(TableRow(cells, row.attack == "worst case", opens, filters))
        before = row.attack
    return Table("results", "All results", columns, tuple(rows), said.results)


def difficulty_table(report: Report) -> Table:
    """For each attack, the smallest eps at which it nearly always succeeds."""
    rows = tuple(
        TableRow(
            (
                TableCell(plain(d.attack)),
                TableCell("not reached")
                if d.eps is None
                else TableCell(printed_threat(d.norm, d.eps), path=f"/difficulty/{i}/eps"),
            )
        )
        for i, d in enumerate(report.difficulty)
    )
    columns = (Column("attack"), Column("smallest eps with at least 99 % success", "difficulty"))
    return Table("difficulty", "Attack difficulty", columns, rows)


def conditions(report: Report) -> list[tuple[str, AttackResult]]:
    """Every result with its JSON pointer: clean, attacks, worst cases."""
    return [
        ("/clean", report.clean),
        *((f"/rows/{i}", row) for i, row in enumerate(report.rows)),
        *((f"/worst_cases/{i}", row) for i, row in enumerate(report.worst_cases)),
    ]


def score_cell(scores: Scores, name: str, path: str) -> TableCell:
    """One field of `scores`, which lie at the JSON pointer `path`."""
    cell = auc_cell if name in ("auc", "attacker_auc", "dice") else percent_cell
    return cell(getattr(scores, name), f"{path}/{name}")


def _described(row: AttackResult) -> str:
    extra = []
    if row.same_as:
        extra.append(f"= {plain(row.same_as)}")
    if row.kind == "curve":
        extra.append("curve")
    if row.failed:
        extra.append(f"{row.failed} not evaluated")
    return condition(row) + (f" ({', '.join(extra)})" if extra else "")


def _eps(row: AttackResult) -> str:
    if row.kind == "clean":
        return "clean"
    return printed_threat(row.norm, row.eps)
