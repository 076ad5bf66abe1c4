"""Blocks of a document (text, tables, figures, warnings); every format renders these."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from robust.records import Exhibit, Flag, Report
from robust.report.figures.style import ReportFigure
from robust.report.tables.model import Table
from robust.report.text.glossary import TERMS
from robust.report.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class TextBlock:
    """Paragraphs of text."""

    paragraphs: tuple[str, ...]
    note: bool = False
    """Whether the text explains a table, and is set smaller."""
    visual: bool = False
    """Whether the text explains colours and frames, which some formats do not have."""


@dataclass(frozen=True)
class TablesBlock:
    """One table, or small tables side by side."""

    tables: tuple[Table, ...]


@dataclass(frozen=True)
class FoldedBlock:
    """Large tables, each with its note; closed on a screen until opened, open on paper."""

    tables: tuple[Table, ...]
    summary: Table
    """What stands in place of all of them where space is short."""
    heading: str
    """What the summary is called there."""
    where: str = ""
    """Where the rest is; empty where the summary is all."""


@dataclass(frozen=True)
class FiguresBlock:
    """Figures, each with its caption."""

    figures: tuple[ReportFigure, ...]


@dataclass(frozen=True)
class WarningsBlock:
    """Warnings that apply to the numbers of the report."""

    flags: tuple[Flag, ...]


@dataclass(frozen=True)
class FactsBlock:
    """Pairs of name and text."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class GalleryBlock:
    """Example images; left out where the image files are missing."""

    exhibits: tuple[Exhibit, ...]
    words: Vocabulary

    @property
    def opened(self) -> int:
        """The image that is shown first: at the smallest eps that fools, else at the largest."""
        fooled = [
            place
            for exhibit in self.exhibits
            for place, image in enumerate(exhibit.images)
            if image.success
        ]
        return min(fooled, default=len(self.exhibits[0].images) - 1)


@dataclass(frozen=True)
class CodeBlock:
    """A file to save and the command to run."""

    command: str
    """Empty where there is only a file."""
    file: str
    content: str


@dataclass(frozen=True)
class GlossaryBlock:
    """Terms and their meanings."""

    terms: tuple[tuple[str, str, str], ...]
    """Id, term, meaning."""


Block = (
    TextBlock
    | TablesBlock
    | FoldedBlock
    | FiguresBlock
    | WarningsBlock
    | FactsBlock
    | GalleryBlock
    | CodeBlock
    | GlossaryBlock
)


@dataclass(frozen=True)
class DocumentSection:
    """A section with its heading."""

    name: str
    """Id within the page."""
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """A report in the order of its template, ready to be rendered."""

    title: str
    subtitle: str
    """The line below the title: what was audited."""
    lead: tuple[str, ...]
    """The main results in a few sentences."""
    facts: tuple[tuple[str, tuple[str, ...]], ...]
    """Dates, model, intended use, limits and next steps: names, each with its sentences."""
    sections: tuple[DocumentSection, ...]
    flags: tuple[Flag, ...] = ()
    """Warnings that the top of the page names."""
    terms: Mapping[str, tuple[str, str]] = field(default_factory=lambda: TERMS)
    """The glossary: what a reader sees of a term that stands in the head of a column."""


Order = Callable[[Report], tuple[DocumentSection, ...]]
"""A template: which sections, in which order."""
