"""The document on several findings: a lead, and tables with one row for each finding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from robust.records import AttackResult, Estimate, FindingEntry, FindingsReport, Flag, Report
from robust.records.verdicts import is_withheld
from robust.report.gates import judge_gates
from robust.report.layout.blocks import Document, DocumentSection, TablesBlock, TextBlock
from robust.report.layout.document import with_content
from robust.report.layout.sections import make_glossary
from robust.report.tables.model import Column, Table, TableCell, TableRow, auc_cell, percent_cell
from robust.report.text.classification import RULE
from robust.report.text.format import NONE, counted, decimal, listed, plain, size_text
from robust.report.text.glossary import TERMS
from robust.report.text.opening import date_text
from robust.report.text.provenance import provenance_facts
from robust.units import eps_text, norm_text, printed_threat, same_eps

Audited = Sequence[tuple[FindingEntry, Report]]
"""Findings with their reports."""
EACH = (
    "Each row is an audit of its own: its own cases, threshold, intervals and warnings. Intervals "
    "are at 95 % for one number each, by group: of twenty, one may miss the true value by chance."
)
_TERMS = ("operating-threshold", "auc", "sensitivity", "specificity")
"""Of the glossary, those that heads of columns lead to."""
UNDER_ATTACK = (
    "Of the cases read correctly without attack, the share that stays correct in the worst case "
    "over all attacks, in percent."
)


def findings_document(found: FindingsReport) -> Document:
    """Lead, tables and the findings that were not audited."""
    reports = found.reports
    first = reports[0][1]
    data = first.data
    subtitle = (
        f"{plain(data.source)} · split {plain(data.split)} · "
        f"{counted(len(reports), 'finding')} audited"
    )
    model = dict(provenance_facts(first))
    facts = (
        ("Date of the audit", (date_text(first.timings.audited),)),
        ("Model", (model.get("Model") or "not stated",)),
        ("Weights", (model["Weights"],)),
        ("Attacks", (model["Attacks"],)),
    )
    sections = (
        DocumentSection(
            "findings", "Findings", (TablesBlock((clean_table(reports),)), TextBlock((EACH,), True))
        ),
        DocumentSection(
            "attacked",
            "Accuracy under attack",
            (
                TablesBlock(tuple(attacked_tables(reports))),
                TextBlock((UNDER_ATTACK, RULE), note=True),
            ),
        ),
        DocumentSection(
            "warnings", "Warnings by finding", (TablesBlock((warnings_table(reports),)),)
        ),
        DocumentSection("gates", "Gates", (TablesBlock((gates_table(reports),)),)),
        DocumentSection("not-audited", "Not audited", (TablesBlock((not_audited_table(found),)),)),
        DocumentSection(
            "glossary", "Glossary", (make_glossary({name: TERMS[name] for name in _TERMS}),)
        ),
    )
    title = plain(found.title)
    return Document(title, subtitle, lead(found), facts, with_content(sections), _flags(reports))


def lead(found: FindingsReport) -> tuple[str, ...]:
    """What was audited, how well it reads without attack, what attacks do, what is missing."""
    reports = found.reports
    cases = max(report.data.cases for _, report in reports)
    noun = plain(reports[0][1].data.images)
    sentences = [f"The model was audited for {counted(len(reports), 'finding')} on {cases} {noun}."]
    known = [(report.clean.scores.auc, plain(e.finding)) for e, report in reports]
    ordered = sorted((auc.value, name, auc) for auc, name in known if auc is not None)
    if len(ordered) > 1:
        (_, low, least), (_, high, most) = ordered[0], ordered[-1]
        sentences.append(
            f"Without attack its AUC is {decimal(least)} for each of them."
            if decimal(least) == decimal(most)
            else f"Without attack its AUC is lowest for {low}, {decimal(least)}, and highest for "
            f"{high}, {decimal(most)}."
        )
    sentences += _attack_sentence(reports)
    if unfinished := [plain(e.finding) for e, report in reports if not report.is_finished]:
        sentences.append(f"Not finished: {listed(unfinished)}.")
    if left := found.not_audited:
        names = listed([plain(entry.finding) for entry in left])
        sentences.append(f"Not audited: {names}; the last table says why.")
    return tuple(sentences)


def _attack_sentence(reports: Audited) -> list[str]:
    """The verdicts at the largest eps of the first norm, as counts."""
    worst = reports[0][1].worst
    words: dict[str, list[str]] = {}
    for entry, report in reports:
        word = next((w for row, w in _verdicts(report) if _same(row, worst)), "undecided")
        words.setdefault("no verdict" if is_withheld(word) else word, []).append(
            plain(entry.finding)
        )
    if worst.eps is None:
        return []
    order = ("fails", "mostly fooled", "partly robust", "robust", "undecided", "no verdict")
    parts = [
        f"{word}: {len(names)} ({listed(names)})" for word in order if (names := words.get(word))
    ]
    return [
        f"Verdicts where an attacker may change each image by {size_text(worst.eps, worst.norm)}: "
        f"{'; '.join(parts)}."
    ]


def clean_table(reports: Audited) -> Table:
    """One row for each finding: cases, threshold, scores without attack."""
    columns = (
        Column("finding"),
        Column("images"),
        Column("with it"),
        Column("threshold", "operating-threshold"),
        Column("AUC", "auc"),
        Column("sensitivity %", "sensitivity"),
        Column("specificity %", "specificity"),
        Column("warnings"),
    )
    rows = []
    for entry, report in reports:
        scores = report.clean.scores
        counts = list(report.data.classes.values())
        cells = (
            _name(entry),
            TableCell(str(report.data.cases)),
            TableCell(str(counts[-1])),
            TableCell(f"{report.model.threshold:.3g}"),
            auc_cell(scores.auc, ""),
            percent_cell(scores.sensitivity, ""),
            percent_cell(scores.specificity, ""),
            TableCell(str(len(report.flags))),
        )
        rows.append(TableRow(cells))
    return Table("findings", "Findings without attack", columns, tuple(rows))


def attacked_tables(reports: Audited) -> Iterator[Table]:
    """For each norm: robust accuracy of the worst case by finding and eps, and the verdict."""
    threats = list(
        dict.fromkeys((row.norm, row.eps) for _, report in reports for row in report.worst_cases)
    )
    for norm in dict.fromkeys(norm for norm, _ in threats):
        sizes = sorted({eps for n, eps in threats if n == norm and eps is not None})
        if not sizes:
            continue
        columns = [Column("finding"), Column("attacked")]
        columns += [Column(f"{printed_threat(norm, eps)} %") for eps in sizes]
        columns.append(Column(f"verdict at {eps_text(sizes[-1], norm)}"))
        rows = tuple(_attacked_row(entry, report, norm, sizes) for entry, report in reports)
        yield Table(
            f"attacked-{norm.lower()}", f"Worst case, {norm_text(norm)}", tuple(columns), rows
        )


def _attacked_row(
    entry: FindingEntry, report: Report, norm: str, sizes: Sequence[float]
) -> TableRow:
    known = [(row, word) for row, word in _verdicts(report) if row.norm == norm]
    cells = [_name(entry), TableCell(str(max((row.attacked for row, _ in known), default=0)))]
    word = NONE
    for eps in sizes:
        row, word = next(((r, w) for r, w in known if same_eps(r.eps, eps)), (None, NONE))
        cells.append(percent_cell(_robust_accuracy(row), ""))
    return TableRow((*cells, TableCell(word)))


def _robust_accuracy(row: AttackResult | None) -> Estimate | None:
    return None if row is None else row.scores.robust_accuracy


def warnings_table(reports: Audited) -> Table:
    """Every warning, with the findings that have it."""
    rows = []
    for flag in _flags(reports):
        names = [plain(e.finding) for e, report in reports if _has(report, flag.name)]
        whom = "all" if len(names) == len(reports) else listed(names, most=20)
        remedy = TableCell(plain(flag.remedy).replace("`", ""))
        rows.append(TableRow((TableCell(flag.name), TableCell(whom), remedy)))
    columns = (Column("warning"), Column("findings"), Column("what to do"))
    return Table("warnings-by-finding", "Warnings", columns, tuple(rows))


def gates_table(reports: Audited) -> Table:
    """Every gate of every finding; without rows where the plan has none."""
    rows = tuple(
        TableRow((_name(entry), *map(TableCell, (gate.name, gate.outcome, plain(gate.why)))))
        for entry, report in reports
        for gate in judge_gates(report)
    )
    columns = (Column("finding"), Column("required"), Column("result"), Column("why"))
    return Table("gates-by-finding", "Gates by finding", columns, rows)


def not_audited_table(found: FindingsReport) -> Table:
    """Findings without an audit, with the reason."""
    rows = tuple(
        TableRow((TableCell(plain(entry.finding)), TableCell(plain(entry.why_not))))
        for entry in found.not_audited
    )
    return Table("not-audited", "Not audited", (Column("finding"), Column("why")), rows)


def _flags(reports: Audited) -> tuple[Flag, ...]:
    """Each warning once, in the order of the reports."""
    first: dict[str, Flag] = {}
    for _, report in reports:
        for flag in report.flags:
            first.setdefault(flag.name, flag)
    return tuple(first.values())


def _has(report: Report, name: str) -> bool:
    return any(flag.name == name for flag in report.flags)


def _verdicts(report: Report) -> Iterator[tuple[AttackResult, str]]:
    return zip(report.worst_cases, report.verdicts, strict=True)


def _same(row: AttackResult, other: AttackResult) -> bool:
    return row.norm == other.norm and same_eps(row.eps, other.eps)


def _name(entry: FindingEntry) -> TableCell:
    return TableCell(plain(entry.finding), link=f"{entry.folder}/report.html")
