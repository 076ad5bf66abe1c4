"""The tables of a report as values, once for all formats; each number says where it comes from."""

from __future__ import annotations

from collections.abc import Callable

from robust.records import AttackResult, Estimate, Report, Scores
from robust.report.tables.model import Column, Table, TableCell, TableRow
from robust.report.text.format import NONE, bracket, condition, distance, moved, plain
from robust.report.text.headline import Verdict, verdicts
from robust.units import eps_text, norm_text

MOST_CLASSES = 20
"""Classes that a table shows; report.json has them all."""


_SCORES: tuple[tuple[str, str, str], ...] = (
    ("accuracy %", "accuracy", "accuracy"),
    ("robust accuracy %", "robust_accuracy", "robust-accuracy"),
    ("misses %", "misses", "miss"),
    ("false alarms %", "false_alarms", "false-alarm"),
    ("sensitivity %", "sensitivity", "sensitivity"),
    ("specificity %", "specificity", "specificity"),
    ("AUC", "auc", "auc"),
)
"""Column, entry of `Scores`, glossary."""


def results(report: Report) -> Table:
    """Clean, every attack at every eps, and the worst case."""
    shown = [s for s in _SCORES if any(getattr(r.scores, s[1]) for _, r in _conditions(report))]
    columns = [Column("condition"), *(Column(title, term) for title, _, term in shown)]
    lines = []
    before = None
    for path, row in _conditions(report):
        cells = [TableCell(_described(row))]
        cells += [_number(row.scores, name, f"{path}/scores") for _, name, _ in shown]
        cells.append(
            TableCell(distance(moved(row), row.norm), path=_path(moved(row), path, row.norm))
        )
        filters = {"attack": plain(row.attack), "eps": _eps(row)}
        lines.append(
            TableRow(tuple(cells), row.attack == "worst case", row.attack != before, filters)
        )
        before = row.attack
    note = (
        "In brackets: 95 % intervals, resampled by group. Accuracy, sensitivity, specificity and "
        "AUC count all cases, those wrong when clean as they are; robust accuracy, misses and "
        "false alarms count the attacked ones, all right when clean. Distance: the median of the "
        "successful images."
    )
    last = Column("median distance", "distance")
    return Table("results", "All results", (*columns, last), tuple(lines), note)


def verdict_table(report: Report) -> Table:
    """Each threat in words, and what the verdict rests on."""
    found = verdicts(report)
    columns = [
        Column("the attacker may", "threat-model"),
        Column("verdict"),
        Column("still right %", "robust-accuracy"),
    ]
    shown: list[tuple[Column, Callable[[Verdict], TableCell]]] = []
    if any(v.hardest for v in found):
        column = Column("hardest attacks")
        shown.append((column, lambda v: TableCell(", ".join(v.hardest) or NONE)))
    if any(v.noise for v in found):
        column = Column("after noise of that size %")
        shown.append((column, lambda v: _single(report, v.noise) if v.noise else TableCell(NONE)))
    lines = []
    for i, v in enumerate(found):
        kept = _number(v.row.scores, "robust_accuracy", f"/worst_cases/{i}/scores")
        first = (TableCell(v.may[0].upper() + v.may[1:]), TableCell(v.word), kept)
        lines.append(TableRow((*first, *(make(v) for _, make in shown))))
    every = (*columns, *(column for column, _ in shown))
    return Table("verdicts", "Verdict for each threat", every, tuple(lines))


def difficulty(report: Report) -> Table:
    """How far each attack must go to succeed nearly always."""
    lines = tuple(
        TableRow(
            (
                TableCell(plain(d.attack)),
                TableCell("not reached")
                if d.eps is None
                else TableCell(
                    f"{norm_text(d.norm)} {eps_text(d.eps, d.norm)}", path=f"/difficulty/{i}/eps"
                ),
            )
        )
        for i, d in enumerate(report.difficulty)
    )
    columns = (Column("attack"), Column("least eps with at least 99 % success", "difficulty"))
    return Table("difficulty", "Attack difficulty", columns, lines)


def recall(report: Report) -> Table:
    """Each class by itself: the share of its images read as such."""
    names = list(report.clean.scores.recall)
    rows = [(path, row) for path, row in _conditions(report) if row.attack in _OVERALL]
    last = rows[-1][1].scores.recall
    shown = names
    note = ""
    if len(names) > MOST_CLASSES:
        known = [name for name in names if last.get(name) is not None]
        shown = sorted(known, key=lambda name: _value(last[name]))[:MOST_CLASSES]
        note = f"The {len(shown)} classes with the lowest recall under the worst attack at the "
        note += f"largest eps; report.json has all {len(names)}."
    columns = [Column("class"), *(Column(f"{condition(row)} %") for _, row in rows)]
    lines = [
        TableRow(
            (
                TableCell(plain(name)),
                *(
                    _estimate(r.scores.recall.get(name), f"{p}/scores/recall/{_pointer(name)}")
                    for p, r in rows
                ),
            )
        )
        for name in shown
    ]
    title = "Recall by class, clean and under the worst attack"
    return Table("classes", title, tuple(columns), tuple(lines), note)


def confusions(report: Report) -> list[Table]:
    """Label against prediction: clean, and under the worst attack at each eps."""
    names = [plain(name) for name in report.data.classes]
    found = []
    for place, (path, row) in enumerate(_conditions(report)):
        if row.attack not in _OVERALL or not row.confusion or len(names) > MOST_CLASSES:
            continue
        lines = [
            TableRow(
                (
                    TableCell(names[i]),
                    *(
                        TableCell(
                            str(count),
                            path=f"{path}/confusion/{i}/{j}",
                            share=count / max(sum(counts), 1),
                        )
                        for j, count in enumerate(counts)
                    ),
                )
            )
            for i, counts in enumerate(row.confusion)
        ]
        columns = (Column("label / read as"), *(Column(name) for name in names))
        found.append(Table(f"confusion-{place}", condition(row), columns, tuple(lines)))
    return found


def subgroups(report: Report) -> Table | None:
    """The parts of the population that a metadata column names; None where there is none."""
    if not report.clean.subgroups:
        return None
    entries = ("accuracy", "robust_accuracy", "sensitivity", "specificity")
    chosen = [s for s in _SCORES if s[1] in entries]
    lines = []
    for i, part in enumerate(report.clean.subgroups):
        for path, row in _conditions(report):
            if row.attack not in _OVERALL:
                continue
            own = row.subgroups[i]
            name = f"{plain(part.column)} = {plain(part.value)}"
            cells = [TableCell(name), TableCell(condition(row))]
            cells.append(TableCell(str(own.cases), path=f"{path}/subgroups/{i}/cases"))
            at = f"{path}/subgroups/{i}/scores"
            cells += [_number(own.scores, entry, at) for _, entry, _ in chosen]
            lines.append(TableRow(tuple(cells), opens=row.kind == "clean"))
    columns = [Column("subgroup"), Column("condition"), Column("cases")]
    columns += [Column(title, term) for title, _, term in chosen]
    return Table("subgroups", "Subgroups", tuple(columns), tuple(lines))


_OVERALL = ("clean", "worst case")


def _conditions(report: Report) -> list[tuple[str, AttackResult]]:
    """Every row with its place in report.json: clean, attacks, worst cases."""
    return [
        ("/clean", report.clean),
        *((f"/results/{i}", row) for i, row in enumerate(report.results)),
        *((f"/worst_cases/{i}", row) for i, row in enumerate(report.worst_cases)),
    ]


def _described(row: AttackResult) -> str:
    extra = []
    if row.same_as:
        extra.append(f"= {plain(row.same_as)}")
    if row.kind == "curve":
        extra.append("curve")
    if row.failed:
        extra.append(f"{row.failed} without verdict")
    return condition(row) + (f" ({', '.join(extra)})" if extra else "")


def _single(report: Report, row: AttackResult) -> TableCell:
    return _number(row.scores, "robust_accuracy", f"/results/{report.results.index(row)}/scores")


def _number(scores: Scores, name: str, path: str) -> TableCell:
    scale, digits = (1, 3) if name == "auc" else (100, 1)
    return _estimate(getattr(scores, name), f"{path}/{name}", scale, digits)


def _estimate(
    estimate: Estimate | None, path: str, scale: float = 100, digits: int = 1
) -> TableCell:
    if estimate is None:
        return TableCell(NONE)
    value = f"{scale * estimate.value:.{digits}f}"
    return TableCell(value, bracket(estimate, scale, digits), path)


def _path(estimate: Estimate | None, path: str, norm: str) -> str:
    return "" if estimate is None else f"{path}/scores/median_{norm.lower()}"


def _pointer(name: str) -> str:
    """A key as a JSON pointer (RFC 6901) writes it."""
    return name.replace("~", "~0").replace("/", "~1")


def _value(estimate: Estimate | None) -> float:
    return 2.0 if estimate is None else estimate.value


def _eps(row: AttackResult) -> str:
    return (
        "clean" if row.kind == "clean" else f"{norm_text(row.norm)} {eps_text(row.eps, row.norm)}"
    )
