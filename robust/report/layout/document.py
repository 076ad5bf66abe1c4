"""A report as a document: title, lead, and the sections of its template that have content."""

from __future__ import annotations

from collections.abc import Iterable

from robust.records import Report
from robust.report.layout.blocks import (
    Block,
    Document,
    DocumentSection,
    FiguresBlock,
    FoldedBlock,
    GalleryBlock,
    Order,
    TablesBlock,
    TextBlock,
    WarningsBlock,
)
from robust.report.text.format import counted, plain
from robust.report.text.headline import headline
from robust.report.text.opening import opening_facts
from robust.report.text.words import words


def make_document(report: Report, order: Order) -> Document:
    """The report in this order; blocks and sections without content are left out."""
    data = report.data
    population = f"{counted(data.cases, 'case')}, {counted(data.groups, 'group')}"
    subtitle = f"{plain(data.source)} · split {plain(data.split)} · {population}"
    lead = tuple(headline(report))
    sections = with_content(order(report))
    title = plain(report.title)
    facts, terms = opening_facts(report), words(report).terms
    return Document(title, subtitle, lead, facts, sections, report.flags, terms)


def with_content(sections: Iterable[DocumentSection]) -> tuple[DocumentSection, ...]:
    """The sections and blocks that have content."""
    return tuple(
        DocumentSection(s.name, s.title, blocks)
        for s in sections
        if (blocks := tuple(block for block in s.blocks if _has_content(block)))
    )


def _has_content(block: Block) -> bool:
    match block:
        case TablesBlock(content) | FoldedBlock(tables=content):
            return any(table.rows for table in content)
        case TextBlock(paragraphs):
            return bool(paragraphs)
        case FiguresBlock(content):
            return bool(content)
        case WarningsBlock(content):
            return bool(content)
        case GalleryBlock(exhibits=content):
            return bool(content)
        case _:
            return True
