"""Reads a table such as cases.csv: strict CSV in UTF-8, of which only columns in use are kept."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from robust.cases.row_filter import EMPTY_WORDS
from robust.errors import InputError, excerpt
from robust.files import read_bytes

MOST_BYTES = 256 << 20
MOST_LINE = 16 << 20
"""Characters of a line."""


@dataclass(frozen=True)
class CaseTable:
    """The columns in use of a table, and the names of all."""

    rows: pd.DataFrame
    header: tuple[str, ...]


def read_case_table(path: Path, columns: Collection[str], texts: Collection[str]) -> CaseTable:
    """The columns of `columns` that the table has; InputError where it is no table.

    Cells of `texts` are read as they are written: a patient 007 is not the patient 7. The others
    are numbers where every cell is a number. Every row must have a cell for each column.
    """
    content = read_bytes(path, MOST_BYTES).removeprefix(b"\xef\xbb\xbf")
    if b"\0" in content:
        raise InputError(f"{path} holds zero bytes; save it as CSV in UTF-8")
    kept = io.StringIO()
    try:
        header = _copy(path, content, columns, texts, kept)
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a text file in UTF-8; save it as CSV in UTF-8") from None
    if not set(columns) & set(header):
        return CaseTable(pd.DataFrame(), header)
    kept.seek(0)
    try:
        rows = pd.read_csv(
            kept,
            dtype=dict.fromkeys(set(texts) & set(header), str),
            na_values=sorted(EMPTY_WORDS),
            keep_default_na=False,
            low_memory=False,
            skip_blank_lines=False,
            index_col=False,
        )
    except (ValueError, OverflowError) as error:  # pandas' parser errors are ValueErrors
        raise InputError(f"{path} cannot be read as a table: {error}") from None
    return CaseTable(rows, header)


def _copy(
    path: Path, content: bytes, columns: Collection[str], texts: Collection[str], kept: io.StringIO
) -> tuple[str, ...]:
    """Write the columns in use to `kept`, row by row; the header of the whole table."""
    reader = csv.reader(_lines(path, content), strict=True)
    writer = csv.writer(kept)
    header: tuple[str, ...] = ()
    places: list[int] = []
    count = 0
    try:
        for row in reader:
            if not any(map(str.strip, row)):
                continue  # a blank line, or one of commas
            if not header:
                header = tuple(row)
                places = _places(path, header, columns)
                names = [header[place] for place in places]
                one_line = [place for place in places if header[place] in texts]
                writer.writerow(names)
                continue
            if len(row) < len(header) or any(row[len(header) :]):
                raise InputError(
                    f"{path} line {reader.line_num} has {len(row)} cells where the header has "
                    f"{len(header)}; a cell with a comma in it needs quotes"
                )
            for place in one_line:
                if "\n" in row[place] or "\r" in row[place]:
                    raise InputError(
                        f"{path} line {reader.line_num}: a cell of {excerpt(header[place])} holds "
                        f"a line break; is a quote not closed?"
                    )
            # A cell of blanks is empty.
            writer.writerow([row[place] if row[place].strip() else "" for place in places])
            count += 1
    except csv.Error as error:
        what = "a quote is not closed" if "end of data" in str(error) else str(error)
        raise InputError(
            f"{path} cannot be read as a table: line {reader.line_num}: {what}"
        ) from None
    if not header:
        raise InputError(f"{path} cannot be read as a table: it is empty")
    if not count:
        raise InputError(f"{path} has no rows; it needs one for each image")
    return header


def _places(path: Path, header: tuple[str, ...], columns: Collection[str]) -> list[int]:
    if len(header) == 1 and (signs := [sign for sign in ";\t|" if sign in header[0]]):
        name = {";": "semicolons", "\t": "tabs", "|": "bars"}[signs[0]]
        raise InputError(f"{path} has {name} between its cells; save it with commas")
    wanted = set(columns)
    places = [place for place, name in enumerate(header) if name in wanted]
    names = [header[place] for place in places]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{path} has {names.count(name)} columns {excerpt(name)!r}; keep one")
    return places


def _lines(path: Path, content: bytes) -> Iterator[str]:
    text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", newline="")
    while line := text.readline(MOST_LINE):
        if len(line) == MOST_LINE:
            raise InputError(
                f"{path} has a line of more than {MOST_LINE} characters; is it the right file?"
            )
        yield line
