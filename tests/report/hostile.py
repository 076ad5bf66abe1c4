"""Hostile names, a report's harmless twin, and what parsers make of pages and LaTeX."""

from __future__ import annotations

import dataclasses
import json
import re
import unicodedata
from html.parser import HTMLParser
from typing import Any

import torch
from torch import Tensor, nn

from robust.records import Report
from robust.report.formats import latex
from tests.records.test_report import report

NAMES = {
    "comment": "<!-- <div hidden",
    "script": "<script>alert(1)</script>",
    "handler": "\" onload='alert(1)' x=\"",
    "emoji": "lungs \N{LUNGS}\N{FACE WITH TEARS OF JOY}",
    "right to left": "שלום مرحبا",
    "override": "abc\u202etxt.exe\u2066",
    "escape": "\x1b[31mred\x1b]0;title\x07\x9b2J",
    "lines": "one\ntwo\r\nthree\x00",
    "code": "```\n`tick` ~~~ ``",
    "table": "|a|b| \\| c",
    "link": "[x](javascript:alert(1)) ![y](z) <http://e.org> www.e.org",
    "style": "</style></title></details>",
    "template": "{{7*7}} {% raw %}",
    "tex": "\\input{/etc/passwd}",
    "math": "$x^2$ % & # _a_ ~",
    "bad math": "$\\nope{$ x_{",
    "formula": "=cmd|' /C calc'!A0",
    "sum": "+1-2",
    "minus": "-2+3",
    "at": "@SUM(1)",
    "tab": "\t=1+1",
    "return": "\r=2+2",
    "markup": "[/red][bold]x",
    "star": "*[1] a",
    "legend": "_hidden",
    "long": "y" * 300,
}

MARKUP = '<script>alert("x")</script> | `a` *b* _c_ [d](e) & שלום 😀' + "x" * 300


def calm(report: Report) -> Report:
    """The same report with a harmless name for each hostile one."""
    names: dict[str, str] = {}
    for i, name in enumerate(NAMES.values()):
        names[name] = names[name.replace("\x00", "")] = f"name{i:02}"
        names[repr(name)[1:-1]] = f"name{i:02}"
    ordered = sorted(names, key=len, reverse=True)

    def walk(node: Any) -> Any:
        if isinstance(node, dict):
            return {walk(key): walk(value) for key, value in node.items()}
        if isinstance(node, list):
            return [walk(value) for value in node]
        if isinstance(node, str):
            for name in ordered:
                node = node.replace(name, names[name])
        return node

    return Report.from_json(json.dumps(walk(json.loads(report.to_json()))))


def controls(text: str) -> set[str]:
    """Characters that move a cursor or turn text around."""
    turning = {*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}
    return {
        c for c in text if c in turning or (unicodedata.category(c) == "Cc" and c not in "\n\t")
    }


class ElementPage(HTMLParser):
    """What a browser would make of a page: elements with their attributes, and texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.loaded: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.policy = ""
        self._in: list[str] = []
        self._within_figure = 0
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = dict(attrs)
        self._within_figure += tag == "svg"
        if not self._within_figure:
            self.elements.append((tag, tuple(sorted(own))))
        for name in ("href", "src", "xlink:href", "style", "class", "id"):
            if name in own and not self._within_figure:
                self.loaded.append((tag, name, own[name] or ""))
        if own.get("http-equiv") == "Content-Security-Policy":
            self.policy = own["content"] or ""
        if tag in ("script", "style"):
            self._in.append(tag)
        if tag == "script":
            self.scripts.append("")
        assert not any(name.startswith("on") for name in own), attrs
        assert tag not in ("iframe", "object", "embed", "base", "foreignobject"), tag

    def handle_endtag(self, tag: str) -> None:
        self._within_figure -= tag == "svg"
        if tag in ("script", "style"):
            assert self._in.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._in[-1:] == ["script"]:
            self.scripts[-1] += data
        elif not self._in and not self._within_figure:
            self.texts.append(data)


def commands(text: str) -> list[str]:
    """Control sequences, row ends, cells and groups, without those that stand for a character."""
    own = {found[1] for v in latex._ESCAPES.values() if (found := re.match(r"\\([a-z]+)\{\}", v))}
    rest = re.sub(r"\\([A-Za-z]+)\{\}", lambda m: "" if m[1] in own else m[0], text)
    rest = re.sub(r"\\[{}$&#%_]|\{[-*\[]\}|\$_\\infty\$", "", rest)
    return re.findall(r"\\[A-Za-z]+\*?|\\.|[&{}$^_#~%]", rest)


class Nearest(nn.Module):
    """Logits are distances to one image a class: right on those, and on little else."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.images = nn.Parameter(images.flatten(1))

    def forward(self, x: Tensor) -> Tensor:
        return -torch.cdist(x.flatten(1), self.images)


def hostile_report() -> Report:
    """A report whose every name tries to be markup."""
    made = report()
    scores = dataclasses.replace(made.clean.scores, recall={MARKUP: None})
    part = dataclasses.replace(made.clean.subgroups[0], column=MARKUP, value=MARKUP)
    clean = dataclasses.replace(made.clean, scores=scores, subgroups=(part,))
    worst = tuple(
        dataclasses.replace(r, scores=scores, subgroups=(part,)) for r in made.worst_cases
    )
    flag = dataclasses.replace(made.flags[0], observed=MARKUP)
    data = dataclasses.replace(made.data, source=MARKUP, classes={MARKUP: 8})
    return dataclasses.replace(
        made, title=MARKUP, clean=clean, worst_cases=worst, flags=(flag,), data=data
    )
