"""The page on two runs side by side: what was compared, every difference, how to read it."""

from __future__ import annotations

from collections.abc import Iterable

from robust.records import Estimate
from robust.report.comparison.compare import Change, Comparison
from robust.report.comparison.show import (
    LEGEND,
    TITLE,
    TOLERANCE_LEGEND,
    comparison_lead,
    tolerance_text,
)
from robust.report.layout.blocks import (
    Document,
    DocumentSection,
    FactsBlock,
    FoldedBlock,
    TablesBlock,
    TextBlock,
)
from robust.report.layout.document import with_content
from robust.report.layout.sections import make_glossary
from robust.report.tables.model import Column, Table, TableCell, TableRow, number_cell, percent_cell
from robust.report.text.format import NONE, counted, plain
from robust.report.text.glossary import SWEEP_TERMS, TERMS

_TERMS = ("eps", "norm", "accuracy", "robust-accuracy", "worst-case", "interval", "group")


def comparison_document(comparison: Comparison, tolerance: float | None) -> Document:
    """Lead, clean images and worst cases, attack by attack, the command, terms."""
    changes = comparison.changes
    main = _table([c for c in changes if c.overall], tolerance, "overall", "Overall")
    single = [c for c in changes if not c.overall]
    each = _table(single, tolerance, "attacks", counted(len(single), "difference"))
    legend = [LEGEND, *([] if tolerance is None else [TOLERANCE_LEGEND.format(tolerance)])]
    notes = (text for text in (main.whole_note, *legend) if text)
    folded = (FoldedBlock((each,), each, each.title),) if each.rows else ()
    terms = {**TERMS, **SWEEP_TERMS}
    sections = (
        DocumentSection(
            "overall",
            "Without attack and in the worst case",
            (TablesBlock((main,)), TextBlock((" ".join(notes),), note=True)),
        ),
        DocumentSection("attacks", "Attack by attack", folded),
        DocumentSection("repeat", "How to repeat it", (FactsBlock(_repeat(tolerance)),)),
        DocumentSection(
            "glossary",
            "Glossary",
            (make_glossary({name: terms[name] for name in (*_TERMS, "paired-difference")}),),
        ),
    )
    cases, groups = counted(comparison.cases, "case"), counted(comparison.groups, "group")
    runs = (("OLD", (plain(comparison.old),)), ("NEW", (plain(comparison.new),)))
    lead, subtitle = tuple(comparison_lead(comparison)[1:]), f"Comparison · {cases} of {groups}"
    return Document(TITLE, subtitle, lead, runs, with_content(sections), terms=terms)


def _table(changes: Iterable[Change], tolerance: float | None, name: str, title: str) -> Table:
    columns = (
        Column("condition"),
        Column("score"),
        Column("OLD %"),
        Column("NEW %"),
        Column("NEW - OLD", "paired-difference"),
        Column("result"),
        *([] if tolerance is None else [Column("tolerance")]),
    )
    rows: list[TableRow] = []
    for change in changes:
        cells = [
            *(TableCell(plain(change.condition)), TableCell(plain(change.score))),
            *(percent_cell(change.old, ""), percent_cell(change.new, "")),
            *(_signed(change.difference), TableCell(change.result)),
        ]
        if tolerance is not None:
            cells.append(TableCell(tolerance_text(change, tolerance) or NONE))
        rows.append(TableRow(tuple(cells), opens=_opens(rows, cells[0])))
    return Table(f"comparison-{name}", title, columns, tuple(rows))


def _opens(rows: list[TableRow], condition: TableCell) -> bool:
    return bool(rows) and rows[-1].cells[0] != condition


def _signed(difference: Estimate) -> TableCell:
    cell = number_cell(difference, "", "", 100, 1)
    return TableCell(
        f"{100 * difference.value:+.1f}", cell.interval, groups_needed=cell.groups_needed
    )


def _repeat(tolerance: float | None) -> tuple[tuple[str, str], ...]:
    told = "" if tolerance is None else f" --tolerance {tolerance:g}"
    return (
        ("Command", f"robust compare OLD NEW{told} --out FOLDER"),
        ("Numbers", "comparison.json has everything on this page, each share of 1 as it is"),
    )
