"""What people read: the same numbers in every format, and names that stay text."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from robust.errors import InputError
from robust.records import Estimate, Report
from robust.report import read_report, write_report
from robust.report.formats.html import render_html
from robust.report.formats.markdown import render_markdown
from robust.report.formats.terminal import print_report
from robust.report.text.format import decimal, distance, percent
from robust.units import eps_text
from tests.test_records import report

NASTY = '<script>alert("x")</script> | `a` *b* _c_ [d](e) & שלום 😀' + "x" * 300


def hostile() -> Report:
    """A report whose every name tries to be markup."""
    made = report()
    scores = dataclasses.replace(made.clean.scores, recall={NASTY: None})
    part = dataclasses.replace(made.clean.subgroups[0], column=NASTY, value=NASTY)
    clean = dataclasses.replace(made.clean, scores=scores, subgroups=(part,))
    worst = tuple(
        dataclasses.replace(r, scores=scores, subgroups=(part,)) for r in made.worst_cases
    )
    flag = dataclasses.replace(made.flags[0], observed=NASTY)
    data = dataclasses.replace(made.data, source=NASTY, classes={NASTY: 8})
    return dataclasses.replace(
        made, title=NASTY, clean=clean, worst_cases=worst, flags=(flag,), data=data
    )


class Tags(HTMLParser):
    """Collects tags, and attributes that would fetch something."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href")]


def test_html_keeps_names_as_text_and_asks_nothing_from_outside() -> None:
    page = Tags()
    page.feed(render_html(hostile()))
    assert page.tags.count("script") == 1
    assert all(link.startswith("#") for link in page.links)


def test_html_shows_each_interval() -> None:
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", render_html(report())))
    assert "50.0 [25.0, 75.0]" in text
    assert "doubt: seen." in text and "What to do: remedy." in text


def test_markdown_keeps_names_as_text() -> None:
    text = render_markdown(hostile())
    assert "<script>" not in text
    widths = {
        len(re.findall(r"(?<!\\)\|", line))
        for line in text.splitlines()
        if line.startswith("| cond")
    }
    for line in text.splitlines():
        if line.startswith("| "):
            assert len(re.findall(r"(?<!\\)\|", line)) in widths | {3, 8}


def test_terminal_fits_eighty_columns_and_has_no_colour_in_a_pipe() -> None:
    out = StringIO()
    print_report(report(), Console(file=out, width=80))
    text = out.getvalue()
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert "worst case" in text and "doubt: seen" in text


def test_numbers_in_words() -> None:
    rate = Estimate(0.9338, 0.9071, 0.9549, 624, 624)
    assert percent(rate) == "93.4 % [90.7, 95.5]"
    assert decimal(rate) == "0.934 [0.907, 0.955]"
    assert eps_text(0.5 / 255) == "0.5/255"
    assert eps_text(8 / 255) == "8/255"
    assert eps_text(0.03) == "0.03"
    assert eps_text(1.0, "L2") == "1"
    assert distance(Estimate(2 / 255, 0, 1, 1, 1), "Linf") == "2.00/255"


def test_formats_are_written_whole_and_read_back(tmp_path: Path) -> None:
    made = report()
    paths = write_report(made, tmp_path)
    assert sorted(p.name for p in paths) == ["report.html", "report.json", "report.md"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html", "report.json", "report.md"]
    assert read_report(tmp_path) == made
    with pytest.raises(InputError, match=r"unknown format 'htm'; did you mean html"):
        write_report(made, tmp_path, "htm")


def test_equal_reports_give_equal_pages() -> None:
    assert render_html(report()) == render_html(report())
