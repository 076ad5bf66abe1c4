"""A CSV file of a run: private, whole or not at all, with lines that end alike everywhere."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from robust.engine.outcome_table.form import Line
from robust.files import create_private, replacing
from robust.printable import as_cell


@dataclass(frozen=True)
class CsvFile:
    """A file for a csv.writer, which quotes a carriage return only where it ends lines with one."""

    file: TextIO

    def write(self, line: str) -> None:
        """One line, which ends with a line feed alone."""
        self.file.write(line.removesuffix("\r\n") + "\n")


def write_lines(path: Path, columns: Sequence[str], lines: Iterable[Line]) -> str:
    """Write a table in place of an old one, cells as in outcomes.csv; returns its SHA-256."""
    with replacing(path) as new:
        create_private(new)
        with new.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(CsvFile(file))
            writer.writerow(columns)
            writer.writerows([as_cell(value) for value in line] for line in lines)
    return file_hash(path)


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as written:
        return hashlib.file_digest(written, "sha256").hexdigest()
