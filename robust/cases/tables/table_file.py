"""Reads a table file as text: CSV with any usual separator, TSV, both also gzipped, and XLSX."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import io
import zipfile
import zlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from robust.errors import InputError, excerpt, first_line
from robust.files import read_bytes

MOST_BYTES = 256 << 20
MOST_UNPACKED = 1 << 30
"""Bytes of a spreadsheet once it is unpacked; XML is many times larger than what it holds."""
MOST_LINE = 16 << 20
"""Characters of a line."""
SEPARATORS = (",", ";", "\t", "|")
_TRIED_ROWS = 10
_EXACT = 10**15
"""Numbers from here on lose digits in a spreadsheet."""


class TableFile:
    """A table whose header is known and whose columns are read when they are asked for."""

    def __init__(self, path: Path) -> None:
        """InputError where it is no table."""
        self.path = path
        content = read_bytes(path, MOST_BYTES)
        if content.startswith(b"\x1f\x8b"):
            content = _unpacked(path, content)
        self._sheet: list[list[str]] | None = None
        self._rounded: set[int] = set()
        self._text = b""
        self.separator = ","
        if content.startswith(b"PK\x03\x04"):
            rows = _sheet(path, content)
            self._sheet = [[str(cell) for cell in row] for row in rows]
            self._rounded = {p for row in rows for p, cell in enumerate(row) if _is_rounded(cell)}
        elif content.startswith(b"\xd0\xcf\x11\xe0"):
            raise InputError(f"{path} is an old Excel file; save it as XLSX or CSV")
        else:
            self._text = content.removeprefix(b"\xef\xbb\xbf")
            if b"\0" in self._text:
                raise InputError(f"{path} holds zero bytes; save it as CSV in UTF-8")
            self.separator = self._find_separator()
        self.header = self._read_header()
        """Names of all columns, without blanks around them."""

    def columns(
        self, names: Collection[str], one_line: Collection[str] = (), most: int | None = None
    ) -> dict[str, list[str]]:
        """The cells of the columns of `names` that the table has, without blanks around them.

        Every row must have a cell for each column of the table; rows that hold nothing are left
        out. Cells of `one_line` may hold no line break. `most` reads the first rows alone.
        InputError where the table is broken or has no row.
        """
        places = self._places(names)
        found: list[list[str]] = [[] for _ in places]
        checked = [place for place in places if self.header[place] in one_line]
        count = 0
        for line, row in self._records():
            self._check_row(line, row, checked)
            for cells, place in zip(found, places):
                cells.append(row[place].strip())
            count += 1
            if count == most:
                break
        if not count:
            raise InputError(f"{self.path} has no rows; it needs one for each image")
        return {self.header[place]: cells for place, cells in zip(places, found)}

    def _check_row(self, line: int, row: Sequence[str], checked: Sequence[int]) -> None:
        width = len(self.header)
        if len(row) < width or any(map(str.strip, row[width:])):
            raise InputError(
                f"{self.path} line {line} has {len(row)} cells where the header has {width}; a "
                f"cell with a comma in it needs quotes"
            )
        for place in checked:
            if "\n" in row[place] or "\r" in row[place]:
                raise InputError(
                    f"{self.path} line {line}: a cell of {excerpt(self.header[place])} holds a "
                    f"line break; is a quote not closed?"
                )

    def _places(self, names: Collection[str]) -> list[int]:
        wanted = set(names)
        places = [place for place, name in enumerate(self.header) if name in wanted]
        found = [self.header[place] for place in places]
        for name in dict.fromkeys(found):
            if found.count(name) > 1:
                raise InputError(
                    f"{self.path} has {found.count(name)} columns {excerpt(name)!r}; keep one"
                )
        for place in self._rounded.intersection(places):
            raise InputError(
                f"{self.path}: {excerpt(self.header[place])} holds numbers of more than 15 digits, "
                f"which a spreadsheet rounds; save that column as text"
            )
        return places

    def _read_header(self) -> tuple[str, ...]:
        for _, row in self._rows():
            if any(map(str.strip, row)):
                return tuple(name.strip() for name in row)
        raise InputError(f"{self.path} cannot be read as a table: it is empty")

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """The rows below the header that hold something, each with its line."""
        rows = ((line, row) for line, row in self._rows() if any(map(str.strip, row)))
        next(rows)
        yield from rows

    def _rows(self, separator: str | None = None) -> Iterator[tuple[int, list[str]]]:
        if self._sheet is not None:
            yield from enumerate(self._sheet, 1)
            return
        lines = _lines(self.path, self._text)
        separator = separator or self.separator
        reader = csv.reader(lines, delimiter=separator, strict=True, skipinitialspace=True)
        try:
            for row in reader:
                yield reader.line_num, row
        except UnicodeDecodeError:
            raise InputError(
                f"{self.path} is not a text file in UTF-8; save it as CSV in UTF-8"
            ) from None
        except csv.Error as error:
            what = "a quote is not closed" if "end of data" in str(error) else str(error)
            raise InputError(
                f"{self.path} cannot be read as a table: line {reader.line_num}: {what}"
            ) from None

    def _find_separator(self) -> str:
        """The sign that cuts the first rows into as many cells as the header has names."""
        order: tuple[str, ...] = SEPARATORS
        if ".tsv" in self.path.name.lower():
            order = ("\t", *(sign for sign in SEPARATORS if sign != "\t"))
        widest, most = order[0], 1
        for sign in order:
            width, even = self._try(sign)
            if even and width > 1:
                return sign
            if width > most:
                widest, most = sign, width
        return widest

    def _try(self, sign: str) -> tuple[int, bool]:
        """Cells of the header when cut at a sign, and whether the first rows have as many."""
        width, tried = 0, 0
        try:
            for _, row in self._rows(sign):
                if not any(map(str.strip, row)):
                    continue
                width = width or len(row)
                if width == 1 or len(row) < width or any(map(str.strip, row[width:])):
                    return width, False
                tried += 1
                if tried > _TRIED_ROWS:
                    break
        except InputError:
            return width, False
        return width, True


def _lines(path: Path, content: bytes) -> Iterator[str]:
    text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", newline="")
    while line := text.readline(MOST_LINE):
        if len(line) == MOST_LINE:
            raise InputError(
                f"{path} has a line of more than {MOST_LINE} characters; is it the right file?"
            )
        yield line


def _unpacked(path: Path, content: bytes) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            found = file.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"{path} is not a gzip file that can be read: {first_line(error)}"
        ) from None
    if len(found) > MOST_BYTES:
        raise InputError(f"{path} unpacks to more than {MOST_BYTES} bytes; is it the right file?")
    return found


def _sheet(path: Path, content: bytes) -> list[list[object]]:
    """The rows of the only sheet of a spreadsheet that holds any."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, ValueError) as error:
        raise InputError(f"{path} is not a spreadsheet: {first_line(error)}") from None
    if size > MOST_UNPACKED:
        raise InputError(f"{path} unpacks to {size >> 20} MiB; save the sheet as CSV")
    if importlib.util.find_spec("openpyxl") is None:
        raise InputError(
            f"{path} is a spreadsheet; pip install 'robust-audit[xlsx]' reads it, or save it as CSV"
        )
    import pandas as pd

    try:
        sheets = pd.read_excel(
            io.BytesIO(content),
            sheet_name=None,
            header=None,
            dtype=object,
            keep_default_na=False,
            na_filter=False,
            engine="openpyxl",
        )
    except Exception as error:  # noqa: BLE001  (a broken archive or XML fails in any way)
        raise InputError(
            f"{path} is not a spreadsheet that can be read: {first_line(error)}"
        ) from None
    full = {name: sheet for name, sheet in sheets.items() if len(sheet)}
    if len(full) > 1:
        raise InputError(
            f"{path} has {len(full)} sheets with rows ({', '.join(map(excerpt, full))}); save the "
            f"one to read as CSV"
        )
    return [list(row) for sheet in full.values() for row in sheet.to_numpy(object)]


def _is_rounded(cell: object) -> bool:
    return isinstance(cell, int | float) and abs(cell) >= _EXACT
