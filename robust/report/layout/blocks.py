"""Blocks of a document: text, tables, figures, warnings; every format renders these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from robust.records import Exhibit, Flag, Report
from robust.report.figures.style import FigureOf
from robust.report.tables.model import Table


@dataclass(frozen=True)
class Text:
    """Paragraphs; `note` for what explains a table."""

    paragraphs: tuple[str, ...]
    note: bool = False
    visual: bool = False
    """About colours and frames: left out where there are none."""


@dataclass(frozen=True)
class Tables:
    """One table, or small ones side by side."""

    tables: tuple[Table, ...]


@dataclass(frozen=True)
class Folded:
    """Large tables, each closed until someone asks for it, with its note; open on paper."""

    tables: tuple[Table, ...]


@dataclass(frozen=True)
class FiguresBlock:
    figures: tuple[FigureOf, ...]


@dataclass(frozen=True)
class WarningsBlock:
    flags: tuple[Flag, ...]


@dataclass(frozen=True)
class FactsBlock:
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class GalleryBlock:
    """Shown where the pictures are at hand; no text stands for them."""

    exhibits: tuple[Exhibit, ...]


@dataclass(frozen=True)
class Code:
    """A file to save and the line to type."""

    command: str
    file: str
    content: str


@dataclass(frozen=True)
class Terms:
    terms: tuple[tuple[str, str, str], ...]
    """Id, term, meaning."""


Block = (
    Text | Tables | Folded | FiguresBlock | WarningsBlock | FactsBlock | GalleryBlock | Code | Terms
)


@dataclass(frozen=True)
class DocumentSection:
    name: str
    """An id within the page."""
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    title: str
    under: str
    """A line below the title: what was audited."""
    lead: tuple[str, ...]
    """What was found, in three sentences."""
    sections: tuple[DocumentSection, ...]


Order = Callable[[Report], tuple[DocumentSection, ...]]
"""A template: which sections, in which order."""
