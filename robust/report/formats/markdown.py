"""Markdown: the report for a pull request, with every name escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from robust.records import Flag, Report
from robust.report.layout.blocks import (
    Block,
    CodeBlock,
    FactsBlock,
    FoldedBlock,
    GlossaryBlock,
    Order,
    TablesBlock,
    TextBlock,
    WarningsBlock,
)
from robust.report.layout.document import make_document
from robust.report.layout.standard import standard
from robust.report.tables.model import Table, row_texts
from robust.report.text.format import flat, plain

_MARKS = re.compile(r"([\\|*_`\[\]#~$])")
_TITLED = ("difficulty", "detectors", "adaptive", "heat-matched", "selection")
"""Tables whose title is not that of their section."""
_ADDRESS = re.compile(r"(@|www(?=\.)|:(?=//))")


def render_markdown(report: Report, order: Order = standard) -> str:
    """All sections without figures and images."""
    document = make_document(report, order)
    parts = [f"# {escape_markdown(document.title)}", escape_markdown(document.subtitle)]
    parts.append(" ".join(escape_markdown(sentence) for sentence in document.lead))
    if report.flags:
        names = ", ".join(escape_markdown(plain(flag.name)) for flag in report.flags)
        parts.append(f"**Warnings:** {names}.")
    for section in document.sections:
        blocks = [text for block in section.blocks if (text := _block(block))]
        if blocks:
            parts += [f"## {section.title}", *blocks]
    return "\n\n".join(parts) + "\n"


def escape_markdown(text: object) -> str:
    """Text for a table or paragraph: no HTML, no Markdown, no cell border, no line break."""
    out = flat(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    out = _MARKS.sub(r"\\\1", out)
    # Code hosts turn @name, a bare address and #1 into links, which would notify or mislead.
    return _ADDRESS.sub("\\1\N{ZERO WIDTH JOINER}", out)


def _block(block: Block) -> str:
    match block:
        case TextBlock(visual=True):
            return ""
        case TextBlock(paragraphs):
            return "\n\n".join(escape_markdown(paragraph) for paragraph in paragraphs)
        case TablesBlock(found):
            return "\n\n".join(_table(table, len(found) > 1) for table in found)
        case FoldedBlock(found):
            return "\n\n".join(_folded_table(i, table) for i, table in enumerate(found, 1))
        case WarningsBlock(flags):
            return "\n".join(_flag(flag) for flag in flags)
        case FactsBlock(pairs):
            return "\n".join(f"- {name}: {escape_markdown(text)}" for name, text in pairs)
        case CodeBlock(command, file, content):
            folded = _folded(file, _fenced(content, "toml"))
            return f"{_fenced(command, 'console')}\n\n{folded}" if command else folded
        case GlossaryBlock(terms):
            lines = "\n".join(
                f"- **{escape_markdown(term)}**: {escape_markdown(what)}" for _, term, what in terms
            )
            return _folded("terms", lines)
        case _:
            return ""


def _table(table: Table, titled: bool) -> str:
    header = [escape_markdown(column.title) for column in table.columns]
    lines = _rows([header, ["---"] * len(header), *_escaped(row_texts(table.rows))])
    return (
        f"**{escape_markdown(table.title)}**\n\n{lines}"
        if titled or table.name in _TITLED
        else lines
    )


def _folded_table(number: int, table: Table) -> str:
    """The summary has no names: Markdown does not remove their escapes there."""
    parts = (_table(table, True), escape_markdown(table.note))
    text = "\n\n".join(part for part in parts if part)
    return _folded(f"transfer matrix {number}", text)


def _escaped(lines: Iterable[Sequence[str]]) -> list[list[str]]:
    return [[_cell(text) for text in line] for line in lines]


def _cell(text: str) -> str:
    """Numbers and intervals stay as they are; names are escaped."""
    return text if re.fullmatch(r"[-\d.,/ \[\]%–]+", text) else escape_markdown(text)  # noqa: RUF001


def _rows(rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _flag(flag: Flag) -> str:
    name, observed, why, remedy = (
        escape_markdown(plain(text)) for text in (flag.name, flag.observed, flag.why, flag.remedy)
    )
    return f"- **{name}**: {observed}. Why it matters: {why}. What to do: {remedy}."


def _folded(title: str, text: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"


def _fenced(text: str, language: str) -> str:
    """A code block that no line of its content can end."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
