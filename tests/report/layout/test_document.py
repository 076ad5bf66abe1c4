"""All templates show the same content, and sections without content are left out."""

from __future__ import annotations

import dataclasses

import pytest

from robust.report.layout.blocks import Document, FoldedBlock, TablesBlock, WarningsBlock
from robust.report.layout.document import make_document
from tests.records.test_report import report
from tests.report.detected import SCENARIO_REPORT
from tests.report.pages import ORDERS


def tables(document: Document) -> set[str]:
    blocks = [block for section in document.sections for block in section.blocks]
    found = [b for b in blocks if isinstance(b, TablesBlock | FoldedBlock)]
    return {table.name for block in found for table in block.tables if table.rows}


def test_all_templates_show_the_same_tables() -> None:
    standard, regulatory, text = (make_document(SCENARIO_REPORT, o) for o in ORDERS.values())
    assert standard.lead == regulatory.lead == text.lead
    assert tables(standard) == tables(regulatory) - {"references"} == tables(text) - {"crosswalk"}
    assert len(tables(standard)) > 8


@pytest.mark.parametrize("order", ORDERS.values())
def test_sections_without_content_are_left_out(order: object) -> None:
    bare = dataclasses.replace(report(), flags=(), gallery=())
    document = make_document(bare, order)  # type: ignore[arg-type]
    names = {section.name for section in document.sections}
    assert not names & {"gates", "detection", "scenarios", "storage", "gallery", "warnings"}
    assert all(section.blocks for section in document.sections)


@pytest.mark.parametrize("order", ORDERS.values())
def test_warnings_stand_in_the_document(order: object) -> None:
    document = make_document(report(), order)  # type: ignore[arg-type]
    blocks = [block for section in document.sections for block in section.blocks]
    assert [b.flags for b in blocks if isinstance(b, WarningsBlock)] == [report().flags]
