"""Markdown: the report for a pull request, with every name escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from robust.records import Flag, Report
from robust.records.flags import OWN_WORDS
from robust.report.layout.blocks import (
    Block,
    CodeBlock,
    Document,
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
from robust.report.text.format import counted, flat, plain

_NUMBERS = re.compile(r"[-\d.,/ \[\]%–]+")  # noqa: RUF001
_MARKS = re.compile(r"([\\|*_`\[\]#~$])")
_TITLED = (
    *("difficulty", "sizes", "detectors", "adaptive", "heat-matched", "selection"),
    *("certificates", "certified", "heat-corruptions", "corruptions", "calibration"),
)
"""Tables whose title is not that of their section."""
MOST = 60_000
"""Characters of the whole text: GitHub takes 65,536 in a comment."""
ROWS = (1000, 60, 24, 12)
"""Rows of a table, tried in turn until the whole text fits."""
WHERE = "The HTML report and report.json have them."
_ADDRESS = re.compile(r"(@|www(?=\.)|:(?=//))")


def render_markdown(report: Report, order: Order = standard) -> str:
    """All sections without figures and images, in at most `MOST` characters.

    Of long tables the last rows are left out first, then whole blocks; a line says what is missing
    and where it is.
    """
    return render_text(make_document(report, order))


def render_text(document: Document) -> str:
    """Any document, as `render_markdown`."""
    for rows in ROWS:
        if (pieces := _whole(_pieces(document, rows))) is not None:
            return _joined(pieces)
    return _joined(_fitting([*_pieces(document, ROWS[-1])]))


@dataclass(frozen=True)
class _Piece:
    """A heading or a block as Markdown."""

    text: str
    section: str = ""
    """Title of its section; empty for the head of the document."""


def _joined(pieces: Iterable[_Piece]) -> str:
    return "\n\n".join(piece.text for piece in pieces) + "\n"


def _whole(pieces: Iterable[_Piece]) -> list[_Piece] | None:
    """All of them; None where they do not fit into `MOST`, and then the rest is not made."""
    kept: list[_Piece] = []
    length = 0
    for piece in pieces:
        kept.append(piece)
        if (length := length + len(piece.text) + 2) >= MOST:
            return None
    return kept


def _fitting(pieces: Sequence[_Piece]) -> list[_Piece]:
    """Those that fit into `MOST`, in order; a line stands for what is left out of a section."""
    named = dict.fromkeys(piece.section for piece in pieces)
    lines = {name: _left_out(f"parts of {name!r}" if name else "parts of this") for name in named}
    room = MOST - sum(len(line) + 2 for line in lines.values())
    kept: list[_Piece] = []
    said: set[str] = set()
    for piece in pieces:
        if (room := room - len(piece.text) - 2) >= 0:
            kept.append(piece)
            continue
        room += len(piece.text) + 2
        if piece.section not in said:
            said.add(piece.section)
            kept.append(_Piece(lines[piece.section], piece.section))
    return kept


def _left_out(what: str) -> str:
    return f"*Left out here, where space is short: {escape_markdown(what)}. {WHERE}*"


def _pieces(document: Document, rows: int) -> Iterator[_Piece]:
    """Everything in order; of tables at most `rows` rows."""
    head = [f"# {escape_markdown(document.title)}", escape_markdown(document.subtitle)]
    head.append(" ".join(escape_markdown(sentence) for sentence in document.lead))
    if document.flags:
        names = ", ".join(escape_markdown(plain(flag.name)) for flag in document.flags)
        head.append(f"**Warnings:** {names}.")
    head.append("\n".join(_fact(name, texts) for name, texts in document.facts))
    yield from map(_Piece, head)
    for section in document.sections:
        titled = False
        for block in section.blocks:
            if text := _block(block, rows):
                if not titled:
                    yield _Piece(f"## {section.title}", section.title)
                titled = True
                yield _Piece(text, section.title)


def _fact(name: str, texts: Sequence[str]) -> str:
    if len(texts) == 1:
        return f"- **{name}:** {escape_markdown(texts[0])}"
    return "\n".join([f"- **{name}:**", *(f"  - {escape_markdown(text)}" for text in texts)])


def escape_markdown(text: object) -> str:
    """Text for a table or paragraph: no HTML, no Markdown, no cell border, no line break."""
    out = flat(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    out = _MARKS.sub(r"\\\1", out)
    # Code hosts turn @name, a bare address and #1 into links, which would notify or mislead.
    return _ADDRESS.sub("\\1\N{ZERO WIDTH JOINER}", out)


def _block(block: Block, rows: int) -> str:
    match block:
        case TextBlock(visual=True):
            return ""
        case TextBlock(paragraphs):
            return "\n\n".join(escape_markdown(paragraph) for paragraph in paragraphs)
        case TablesBlock(found):
            return "\n\n".join(_table(table, len(found) > 1, rows) for table in found)
        case FoldedBlock(summary=summary, heading=heading, where=where):
            parts = (_table(summary, False, rows), escape_markdown(summary.whole_note), where)
            return _folded(heading, "\n\n".join(part for part in parts if part))
        case WarningsBlock(flags):
            return "\n".join(markdown_warning(flag) for flag in flags)
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


def _table(table: Table, titled: bool, rows: int) -> str:
    header = [escape_markdown(column.title) for column in table.columns]
    rows = len(table.rows) if table.whole else rows
    shown = _escaped(row_texts(table.rows[:rows]))
    text = _rows([header, ["---"] * len(header), *shown])
    if (more := len(table.rows) - rows) > 0:
        text += "\n\n" + _left_out(counted(more, "more row"))
    if not (titled or table.name in _TITLED):
        return text
    return f"**{escape_markdown(table.title)}**\n\n{text}"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Texts as a table, every cell escaped."""
    names = [escape_markdown(name) for name in header]
    return _rows([names, ["---"] * len(names), *_escaped(rows)])


def _escaped(lines: Iterable[Sequence[str]]) -> list[list[str]]:
    return [[_cell(text) for text in line] for line in lines]


def _cell(text: str) -> str:
    """Numbers and intervals stay as they are; names are escaped."""
    return text if _NUMBERS.fullmatch(text) else escape_markdown(text)


def _rows(rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def markdown_warning(flag: Flag) -> str:
    """A warning as an entry of a list."""
    name, observed = (escape_markdown(plain(text)) for text in (flag.name, flag.observed))
    why, remedy = map(_advice, (flag.why, flag.remedy))
    return f"- **{name}**: {observed}. Why it matters: {why}. What to do: {remedy}."


def _advice(text: str) -> str:
    """Escaped; in our own words what stands between backticks is code."""
    parts = re.split("(`[^`]+`)", plain(text)) if text in OWN_WORDS else [plain(text)]
    return "".join(part if i % 2 else escape_markdown(part) for i, part in enumerate(parts))


def _folded(title: str, text: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"


def _fenced(text: str, language: str) -> str:
    """A code block that no line of its content can end."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
