"""What a page shows: its text, and the numbers that name their place in report.json."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import robust.report
from robust.report.layout.crosswalk import crosswalk_order
from robust.report.layout.regulatory import regulatory
from robust.report.layout.standard import standard

ORDERS = {
    "standard": standard,
    "regulatory": regulatory,
    "iso-24029": crosswalk_order("iso-24029"),
}
"""Both orders of sections, and of the templates of texts that with most kinds of evidence."""
NUMBER = re.compile(r"(?<![\w.])\d+(?:[.,]\d+)*(?![\w])")
PACKAGE = Path(robust.report.__file__).parent


class NumberPage(HTMLParser):
    """The visible text, and the text of each element that names its place in report.json."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.named: list[tuple[str, str]] = []
        self._silent = 0
        self._open: list[str | None] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("style", "script", "svg"):
            self._silent += 1
        if tag == "td":
            self._open.append(dict(attrs).get("data-path"))
            self.named.append((self._open[-1] or "", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("style", "script", "svg"):
            self._silent -= 1
        if tag == "td":
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.text.append(data)
            if self._open:
                path, before = self.named[-1]
                self.named[-1] = path, before + data


def at(raw: Any, pointer: str) -> Any:
    """What a JSON pointer points at."""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        raw = raw[int(key)] if isinstance(raw, list) else raw[key]
    return raw


def known_numbers(run: Path) -> set[str]:
    """All numbers of report.json as a page may print them, and those of fixed sentences.

    Fixed sentences are the sources that hold them: whatever is added there is read as well.
    """
    raw = json.loads((run / "report.json").read_text(encoding="utf-8"))
    found: set[str] = set()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            for key, value in node.items():
                found.update(NUMBER.findall(key))
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)
        elif isinstance(node, str):
            found.update(NUMBER.findall(node))
        elif isinstance(node, int | float) and not isinstance(node, bool):
            for value in (node, 100 * node, 255 * node, 1 - node, 100 - 100 * node):
                found.update(f"{value:{form}}" for form in ("g", ".0f", ".1f", ".2f", ".3f", ".4g"))

    walk(raw)
    passes = sum(r["passes"] * r["attacked"] for r in raw["rows"] if r["same_as"] is None)
    found |= {f"{passes:,.0f}", f"{sum(raw['timings']['by_cell'].values()):,.0f}"}
    timings = raw["timings"]
    found |= {f"{n:,.0f}" for of in ("passes", "probe") for n in (timings[of] or {}).values()}
    # In a time such as 2026-11-27T00:12:09Z the letter hides the hour.
    found |= {n for name in ("audited", "reported") for n in re.findall(r"\d+", timings[name])}
    found.add(str(len(raw["flags"])))
    return found | fixed_numbers()


@cache
def fixed_numbers() -> frozenset[str]:
    """All numbers of the sources that hold fixed sentences, and those of sections."""
    fixed = [path.read_text(encoding="utf-8") for path in (PACKAGE / "templates").glob("*.j2")]
    for folder in ("text", "tables", "figures", "layout", "crosswalk"):
        fixed += [text for path in (PACKAGE / folder).glob("*.py") for text in strings(path)]
    assert len(fixed) > 300
    fixed += [path.read_text(encoding="utf-8") for path in PACKAGE.glob("crosswalk/texts/*.toml")]
    fixed += [f"{n} " for n in range(1, 10)]  # the numbers of sections
    return frozenset(n for text in fixed for n in NUMBER.findall(text))


def strings(path: Path) -> Iterator[str]:
    """The texts in a source file, docstrings aside: those that can come to stand on a page."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in docstrings:
                yield node.value
