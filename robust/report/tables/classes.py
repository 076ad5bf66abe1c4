"""Tables by class and by subgroup: recall, confusion matrices, scores of subgroups."""

from __future__ import annotations

from robust.records import Estimate, Report
from robust.report.tables.model import Column, Table, TableCell, TableRow, percent_cell
from robust.report.tables.results import OVERALL, conditions, score_cell
from robust.report.text.format import condition, json_key, plain
from robust.report.text.words import words

MOST_CLASSES = 20
"""Classes that a table shows; report.json has them all."""


def recall_table(report: Report) -> Table:
    """For each class the share of its images that are read correctly."""
    shown = names = list(report.clean.scores.recall)
    rows_of = [(path, row) for path, row in conditions(report) if row.attack in OVERALL]
    last = rows_of[-1][1].scores.recall
    note = ""
    if len(names) > MOST_CLASSES:
        known = [name for name in names if last.get(name) is not None]
        shown = sorted(known, key=lambda name: _value(last[name]))[:MOST_CLASSES]
        note = (
            f"The {len(shown)} classes with the lowest recall in the worst case at the largest "
            f"eps; report.json has all {len(names)}."
        )
    columns = (Column("class"), *(Column(f"{condition(row)} %") for _, row in rows_of))
    rows = tuple(
        TableRow(
            (
                TableCell(plain(name)),
                *(
                    percent_cell(
                        row.scores.recall.get(name), f"{path}/scores/recall/{json_key(name)}"
                    )
                    for path, row in rows_of
                ),
            )
        )
        for name in shown
    )
    return Table("classes", "Recall by class, clean and in the worst case", columns, rows, note)


def confusion_tables(report: Report) -> list[Table]:
    """Label against prediction, clean and in the worst case at each eps; few classes only."""
    names = [plain(name) for name in report.data.classes]
    columns = (Column("label / read as"), *(Column(name) for name in names))
    found = []
    for place, (path, row) in enumerate(conditions(report)):
        if row.attack not in OVERALL or not row.confusion or len(names) > MOST_CLASSES:
            continue
        rows = []
        for i, counts in enumerate(row.confusion):
            whole = max(sum(counts), 1)
            cells = (
                TableCell(str(count), path=f"{path}/confusion/{i}/{j}", share=count / whole)
                for j, count in enumerate(counts)
            )
            rows.append(TableRow((TableCell(names[i]), *cells)))
        found.append(Table(f"confusion-{place}", condition(row), columns, tuple(rows)))
    return found


def subgroup_table(report: Report) -> Table | None:
    """Scores of the subgroups that a metadata column names; None where there are none."""
    if not report.clean.subgroups:
        return None
    fields = ("accuracy", "robust_accuracy", "sensitivity", "specificity", "dice")
    chosen = [column for column in words(report).columns if column.name in fields]
    rows = []
    for i, part in enumerate(report.clean.subgroups):
        name = f"{plain(part.column)} = {plain(part.value)}"
        for path, row in conditions(report):
            if row.attack not in OVERALL:
                continue
            own, at = row.subgroups[i], f"{path}/subgroups/{i}"
            cells = (
                TableCell(name),
                TableCell(condition(row)),
                TableCell(str(own.cases), path=f"{at}/cases"),
                *(score_cell(own.scores, c.name, f"{at}/scores") for c in chosen),
            )
            rows.append(TableRow(cells, opens=row.kind == "clean"))
    columns = (
        *(Column("subgroup"), Column("condition"), Column("cases")),
        *(Column(c.title, c.term) for c in chosen),
    )
    return Table("subgroups", "Subgroups", columns, tuple(rows))


def _value(estimate: Estimate | None) -> float:
    return 2.0 if estimate is None else estimate.value
