"""Detectors in every format: hostile names stay text, nothing is said without detectors."""

from __future__ import annotations

import dataclasses
import json
import re
import warnings
import xml.etree.ElementTree as ET

import jsonschema
import pytest

from robust.records import Detection, ImageSet, Report
from robust.report.figures.every import report_figures
from robust.report.formats.html import render_html
from robust.report.formats.json_schema import PUBLISHED
from robust.report.formats.latex import escape_latex, render_latex
from robust.report.formats.markdown import render_markdown
from robust.report.layout.regulatory import regulatory
from robust.report.text.format import plain
from tests.records.test_report import report
from tests.report.detected import ATTACKS, detection, report_on
from tests.report.hostile import NAMES, ElementPage, calm, commands, controls
from tests.report.pages import ORDERS

EMPTY = ImageSet("attack", "CW", "Linf", 1 / 255, 0, "no attack succeeded")


def test_a_report_without_detectors_says_nothing_of_them() -> None:
    for order in ORDERS.values():
        page = render_html(report(), order, phone=False)
        assert "Can attacks be detected" not in page and 'id="detectors-' not in page
    risk = str([s for s in regulatory(report()) if s.name == "risk"])
    assert "detection of manipulated images" in risk
    assert "detection of manipulated images" not in str(
        [s for s in regulatory(report_on()) if s.name == "risk"]
    )


def test_it_comes_back_from_json_and_fulfils_the_schema() -> None:
    shown = report_on(detection(attacks=[*ATTACKS, EMPTY]))
    assert Report.from_json(shown.to_json()) == shown
    jsonschema.validate(
        json.loads(shown.to_json()), json.loads(PUBLISHED.read_text(encoding="utf-8"))
    )


def test_markdown_has_sentences_and_tables_and_no_word_of_colours() -> None:
    text = render_markdown(report_on())
    section = text[text.index("## Can attacks be detected") :].split("\n## ")[0]
    assert section.count("<details><summary>transfer matrix</summary>") == 1
    assert "Detectors fitted on PGD, L∞ 1/255" in section and "transfer\\_matrix.csv" in section
    assert "**Each detector on PGD, L∞ 1/255**" in section
    assert "Blue" not in section and "frame" not in section
    for block in re.findall(r"(?:^\|.*\n?)+", section, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


def hostile() -> Detection:
    """Detectors, attacks, layers and reasons with hostile names alone."""
    every = list(NAMES.values())
    attacks = [ImageSet("attack", name, "Linf", 1 / 255, 40) for name in every]
    attacks += [ImageSet("attack", name, "L2", None, 0, name) for name in every[:4]]
    found = detection(dict.fromkeys(every, 0.5), attacks[-6:], key=0)
    sights = dataclasses.replace(
        found,
        layers=tuple(every),
        reference=dataclasses.replace(found.reference, split=NAMES["script"]),
        detectors={name: f"{name}(x={name!r})" for name in every},
    )
    return sights


def test_hostile_names_stay_text(capfd: pytest.CaptureFixture[str]) -> None:
    shown = report_on(hostile())
    twin = calm(shown)
    assert "script" not in str(twin.detection)
    for order in ORDERS.values():
        # Drawings are not looked at here, so each is made once.
        page, other = (ElementPage(render_html(r, order, phone=False)) for r in (shown, twin))
        assert page.elements == other.elements and page.loaded == other.loaded
        assert not controls("\n".join(page.texts))
        for name in NAMES.values():
            assert plain(name) in page.texts, name
    text = render_latex(shown)
    assert commands(text) == commands(render_latex(twin))
    assert escape_latex(plain(NAMES["tex"])) in text
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = report_on(detection(dict.fromkeys(list(NAMES.values())[11:23], 0.5)), drawn=True)
        for figure in report_figures(found)[-3:]:
            root = ET.fromstring(figure.svg())
            assert not [e for e in root.iter() if str(e.tag).endswith("script")]
    assert capfd.readouterr().err == ""


def test_hostile_names_make_no_mark_in_markdown() -> None:
    markdown_it = pytest.importorskip("markdown_it")
    parser = markdown_it.MarkdownIt("commonmark").enable(["table", "strikethrough"])

    def tokens(shown: Report) -> tuple[list[str], list[str]]:
        every = parser.parse(render_markdown(shown))
        inline = [child for token in every for child in token.children or ()]
        kinds = [t.type for t in every] + [t.type for t in inline if t.type != "text"]
        return kinds, [t.content for t in (*every, *inline) if t.type.startswith("html")]

    shown = report_on(hostile())
    assert tokens(shown) == tokens(calm(shown))
