"""Markdown: names stay text."""

from __future__ import annotations

import re

from robust.report.formats.markdown import render_markdown
from tests.report.hostile import hostile_report


def test_markdown_keeps_names_as_text() -> None:
    text = render_markdown(hostile_report())
    assert "<script>" not in text
    widths = {
        len(re.findall(r"(?<!\\)\|", line))
        for line in text.splitlines()
        if line.startswith("| cond")
    }
    for line in text.splitlines():
        if line.startswith("| "):
            assert len(re.findall(r"(?<!\\)\|", line)) in widths | {3, 8}
