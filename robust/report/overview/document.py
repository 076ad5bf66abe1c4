"""The page over all runs of a folder: a table with verdicts, and links to their reports."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from robust.files import path_exists, read_text
from robust.report.formats.html import render_page
from robust.report.layout.blocks import Document, DocumentSection, TablesBlock, TextBlock
from robust.report.layout.document import with_content
from robust.report.layout.sections import make_glossary
from robust.report.overview.collect import OtherPage, Overview, RunLine
from robust.report.tables.model import CellLine, Column, Table, TableCell, TableRow, percent_cell
from robust.report.text.format import NONE, counted, listed, plain
from robust.report.text.glossary import TERMS
from robust.report.text.opening import date_text

NAME = "index.html"
"""Of the page, in the folder that it is about."""
MOST_NAMED = 12
"""Names in a cell."""
MOST_PAGE = 64 << 20
"""Bytes of a page."""
_MARK = "Overview of runs"
_TERMS = ("threat-model", "robust-accuracy", "noise-control", "accuracy")
WORST = (
    "Of each run the threat under which fewest images stay correct, the smallest of several. Still "
    "correct: of the images read correctly without attack, in the worst case over all attacks, "
    "beside random noise of the same size. In brackets: 95 % intervals, by group. Runs differ in "
    "images, attacks and sizes: robust compare says what differs between two of them on the same "
    "images."
)


def render_overview(overview: Overview, page: Path) -> str:
    """The HTML of the page; `page` is where it will lie, which its links start from."""
    return render_page(overview_document(overview, page))


def is_overview(path: Path) -> bool:
    """Whether a file is a page of `render_overview`; InputError where it cannot be read."""
    return path_exists(path) and _MARK in read_text(path, MOST_PAGE)


def overview_document(overview: Overview, page: Path) -> Document:
    """Lead, the table of runs, comparisons, sweeps, and what has no page or could not be read."""
    place = _Place(overview.root, page.absolute().parent)
    sections = (
        DocumentSection(
            "runs", "Runs", (TablesBlock((_runs_table(overview.runs, place),)), _note(overview))
        ),
        _others("comparisons", "Comparisons", "compared", "on", overview.comparisons, place),
        _others("sweeps", "Sweeps", "varied", "finished", overview.sweeps, place),
        _others(
            *("several", "Audits of several findings", "findings", "audited"),
            *(overview.findings, place),
        ),
        _listed("no-page", "Without a page", ("run", "how to write it"), _without(overview, place)),
        _listed(
            "unfinished",
            "Not finished",
            ("run", "what to do"),
            (
                (
                    place.named(folder),
                    TableCell(
                        "give the same audit command again; what there is shows: "
                        f"robust report {place.argument(folder)}"
                    ),
                )
                for folder in overview.unfinished
            ),
        ),
        _listed(
            "unreadable",
            "Could not be read",
            ("file", "why"),
            ((place.named(path), TableCell(plain(why))) for path, why in overview.unreadable),
        ),
        DocumentSection(
            "glossary", "Glossary", (make_glossary({name: TERMS[name] for name in _TERMS}),)
        ),
    )
    name = plain(overview.root.absolute().name or overview.root.absolute())
    return Document(f"Runs in {name}", _MARK, _lead(overview), (), with_content(sections))


class _Place:
    """Names of folders as the page shows them, and links from it to files."""

    def __init__(self, root: Path, page: Path) -> None:
        self._root, self._page = root.absolute(), page

    def named(self, folder: Path, page: Path | None = None) -> TableCell:
        path = folder.absolute()
        own = path.name if path == self._root else path.relative_to(self._root).as_posix()
        return TableCell(plain(own), link="" if page is None else self.link(page))

    def link(self, page: Path) -> str:
        # Bytes: a name need not be UTF-8. The colon is quoted too, so that no name is a scheme.
        return quote(os.fsencode(os.path.relpath(page.absolute(), self._page)), safe="/")

    def argument(self, folder: Path) -> str:
        return plain(shlex.quote(os.path.relpath(folder.absolute())))


def _lead(overview: Overview) -> tuple[str, ...]:
    found = [
        counted(len(overview.runs), "finished run"),
        *([counted(len(overview.comparisons), "comparison")] if overview.comparisons else []),
        *([counted(len(overview.sweeps), "sweep")] if overview.sweeps else []),
        *([f"{len(overview.findings)} of several findings"] if overview.findings else []),
        *([f"{len(overview.unfinished)} not finished"] if overview.unfinished else []),
    ]
    sentences = [f"{listed(found, most=5)}."]
    if overview.runs:
        newest = overview.runs[0]
        if newest.audited:
            when = date_text(newest.audited)
            sentences.append(f"The newest, {plain(newest.title)}, is of {when}.")
        with_gates = [run for run in overview.runs if run.gates[1]]
        if with_gates:
            passed = sum(run.gates[0] == run.gates[1] for run in with_gates)
            sentences.append(
                f"Of {counted(len(with_gates), 'run')} with gates, {passed} passed all of them."
            )
    if overview.unreadable:
        files = counted(len(overview.unreadable), "file or folder", "files or folders")
        sentences.append(f"{files} could not be read; the last table says why.")
    return tuple(sentences)


def _note(overview: Overview) -> TextBlock:
    return TextBlock((WORST,) if overview.runs else (), note=True)


def _runs_table(runs: Sequence[RunLine], place: _Place) -> Table:
    columns = (
        Column("run"),
        Column("verdict"),
        Column("the attacker may", "threat-model"),
        Column("still correct %", "robust-accuracy"),
        Column("still correct after noise %", "noise-control"),
        Column("correct without attack %", "accuracy"),
        Column("gates"),
        Column("warnings"),
        Column("audited"),
        Column("model"),
    )
    return Table("runs", "Runs", columns, tuple(_run_row(run, place) for run in runs))


def _run_row(run: RunLine, place: _Place) -> TableRow:
    worst, (passed, gates) = run.worst, run.gates
    noise = None if worst is None else worst.noise
    return TableRow(
        (
            place.named(run.folder, run.page),
            TableCell(NONE if worst is None else worst.word),
            TableCell(NONE if worst is None else worst.threat),
            percent_cell(None if worst is None else worst.worst_case.scores.robust_accuracy, ""),
            percent_cell(None if noise is None else noise.scores.robust_accuracy, ""),
            percent_cell(run.clean, ""),
            TableCell(f"{passed} of {gates} passed" if gates else "none"),
            TableCell(str(run.flags)),
            TableCell(date_text(run.audited)),
            TableCell(f"{plain(run.title)}: {plain(run.model)}"),
        )
    )


def _others(
    name: str, title: str, compared: str, holds: str, others: Iterable[OtherPage], place: _Place
) -> DocumentSection:
    rows = (
        (
            place.named(one.folder, one.page),
            TableCell(plain(one.title)),
            _in_lines(one.compared),
            TableCell(one.holds),
        )
        for one in others
    )
    return _listed(name, title, ("folder", "title", compared, holds), rows)


def _in_lines(texts: Sequence[str]) -> TableCell:
    """A line for each, of the first; a page need not name a hundred."""
    shown = [plain(text) for text in texts[:MOST_NAMED]]
    if more := len(texts) - len(shown):
        shown.append(f"and {more} more")
    return TableCell("; ".join(shown), lines=tuple(map(CellLine, shown)))


def _without(overview: Overview, place: _Place) -> Iterator[tuple[TableCell, ...]]:
    found = [(run.folder, run.page) for run in overview.runs]
    found += [(several.folder, several.page) for several in overview.findings]
    for folder, page in found:
        if page is None:
            how = f"robust report {place.argument(folder)} --format html"
            yield place.named(folder), TableCell(how)


def _listed(
    name: str, title: str, columns: Sequence[str], cells: Iterable[tuple[TableCell, ...]]
) -> DocumentSection:
    rows = tuple(TableRow(row) for row in cells)
    table = Table(name, title, tuple(map(Column, columns)), rows)
    return DocumentSection(name, title, (TablesBlock((table,)),))
