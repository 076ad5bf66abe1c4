"""Markdown: names stay text, and the whole fits into a comment of a pull request."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

import pytest

from robust.records import AttackResult, Estimate, Report, Scores, Subgroup
from robust.report.formats.job_summary import job_summary
from robust.report.formats.markdown import render_markdown
from robust.report.layout.blocks import Order
from robust.report.layout.regulatory import regulatory
from tests.records.test_report import report
from tests.report.detected import many, report_on
from tests.report.hostile import hostile_report
from tests.report.pages import ORDERS


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


@cache
def large(eps: int, classes: int, subgroups: int) -> Report:
    """Many results, classes and subgroups, every field of `[report]` full, and a long plan."""
    rate = Estimate(0.5, 0.25, 0.75, 800, 400)
    names = [f"Class_{i}" for i in range(classes)]
    scores = Scores(*[rate] * 9, recall=dict.fromkeys(names, rate))
    parts = tuple(Subgroup("site", f"site {i}", 8, scores) for i in range(subgroups))
    counts = ((10,) * classes,) * classes
    clean = AttackResult("clean", "", 0.0, "clean", scores, parts, confusion=counts)
    rows = [
        AttackResult(name, "Linf", k / 255, "exact", scores, parts, 400, confusion=counts)
        for name in ("FGSM", "BIM", "PGD", "MarginPGD", "CW", "APGD", "Square", "Standard")
        for k in range(1, eps + 1)
    ]
    worst = [replace(row, attack="worst case") for row in rows[:eps]]
    stated = {"intended_use": "| " * 500, "acceptance_criteria": "* " * 500}
    plan = {
        "audit": {"seed": 0, "goal": "error", "target": None},
        "report": stated,
        "attacks": [{"name": "PGD", "label": f"label {i}", "steps": i} for i in range(800)],
    }
    data = replace(report().data, classes=dict.fromkeys(names, 8))
    return report_on(many(), plan=plan, data=data, clean=clean, rows=tuple(rows),
                     worst_cases=tuple(worst))  # fmt: skip


SIZES = [(5, 2, 2), (40, 20, 30)]


@pytest.mark.parametrize("order", ORDERS.values())
@pytest.mark.parametrize("size", SIZES)
def test_it_fits_into_a_comment_whatever_the_plan(order: Order, size: tuple[int, ...]) -> None:
    text = render_markdown(large(*size), order)
    assert 10_000 < len(text) < 60_000
    assert "Left out here" in text and "The HTML report and report.json have them." in text
    for section in ("Results",) if order is regulatory else ("Verdict for each threat", "Glossary"):
        assert re.search(f"^## .*{section}$", text, re.MULTILINE)
    for block in re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1
    assert text.count("<details>") == text.count("</details>")


@pytest.mark.parametrize("size", SIZES)
def test_the_summary_of_a_job_fits_whatever_the_plan(size: tuple[int, ...]) -> None:
    summary = job_summary(large(*size))
    assert "Verdict for each threat" in summary and len(summary.encode()) < 1 << 20


def test_long_tables_are_shortened_before_a_block_is_left_out() -> None:
    shown = replace(large(40, 21, 0), plan=report().plan)
    text = render_markdown(shown)
    assert len(text) < 60_000 and "parts of" not in text
    assert re.search(r"short: \d+ more rows\. The HTML report", text)


def test_many_warnings_do_not_break_the_limit() -> None:
    flags = tuple(replace(report().flags[0], name=f"doubt {i}") for i in range(3000))
    text = render_markdown(report(flags=flags))
    assert len(text) < 60_000 and "Left out here, where space is short: parts of" in text
