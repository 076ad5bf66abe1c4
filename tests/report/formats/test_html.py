"""HTML: names stay text, nothing is fetched, each interval is shown."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

from robust.records.flags import FLAG_TEXTS
from robust.report.formats.html import render_html, render_summary
from robust.report.formats.markdown import render_markdown
from tests.records.test_report import report
from tests.report.hostile import hostile_report


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
    page.feed(render_html(hostile_report()))
    assert page.tags.count("script") == 1
    assert all(link.startswith("#") for link in page.links)


def test_html_shows_each_interval() -> None:
    text = re.sub(
        r"\s+",
        " ",
        re.sub(
            r"<[^>]+>", "", render_html(report(), phone=False).replace("\N{NO-BREAK SPACE}", " ")
        ),
    )
    assert "50.0 [25.0, 75.0]" in text
    assert "doubt: seen." in text and "What to do: remedy." in text


def test_equal_reports_give_equal_pages() -> None:
    assert render_html(report()) == render_html(report())


def test_a_line_ends_neither_within_an_interval_nor_before_a_percent_sign() -> None:
    lead = (
        render_html(report(), phone=False).split('aria-label="Summary"')[1].split("</section>")[0]
    )
    assert re.search(r"\d\N{NO-BREAK SPACE}%", lead) and not re.search(r"\d %|\[\S+, ", lead)


def test_what_an_advice_names_is_code() -> None:
    flags = tuple(
        replace(report().flags[0], name=name, why=text.why, remedy=text.remedy)
        for name, text in FLAG_TEXTS.items()
    )
    assert any("`" in one.remedy for one in flags)
    shown = report(flags=flags)
    for html in (render_html(shown, phone=False), render_summary(shown)):
        advice = re.findall(r"What to do: (.*?)</", re.sub("</?code>", "", html))
        assert len(advice) == len(flags) and not any("`" in one for one in advice)
        assert "<code>eot = 16</code>" in html
    assert "`eot = 16`" in render_markdown(report(flags=flags))
    hostile = report(flags=(replace(flags[0], remedy="set `eot`"),))
    page = render_html(hostile, phone=False)
    assert "set `eot`." in page and "set \\`eot\\`." in render_markdown(hostile)
