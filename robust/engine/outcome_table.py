"""The per-case table (outcomes.csv, outcomes.parquet), from which every rate can be recomputed."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TextIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from robust.cases.case import Cases
from robust.engine.cells import Cell
from robust.engine.run_store import RunStore
from robust.files import create_private, replacing
from robust.metrics.arrays import Array
from robust.printable import as_cell

_COLUMNS = (
    *(("case", pa.string()), ("group", pa.string()), ("label", pa.string())),
    *(("attack", pa.string()), ("norm", pa.string()), ("eps", pa.float64())),
    *(("prediction", pa.string()), ("success", pa.bool_())),
    *(("linf", pa.float64()), ("l2", pa.float64()), ("passes", pa.float64())),
    *(("saturated", pa.bool_()), ("failure", pa.string())),
)
_BLOCK = 10_000
"""Rows in memory at a time, which are one row group of the Parquet file."""


def write_table(directory: Path, store: RunStore, cases: Cases, cells: Sequence[Cell]) -> str:
    """Write both files, each replacing an old one as a whole; returns the SHA-256 of the CSV.

    `eps` is empty on clean lines and where a minimum-norm attack had no bound. The CSV has logits
    with nine digits, which give a float32 back exactly, and text that a spreadsheet would take for
    a formula begins with an apostrophe there; the Parquet file holds all as it is.
    """
    metadata = sorted({name for entry in cases.entries for name in entry.metadata})
    schema = _schema(cases.classes, metadata)
    lines = _lines(store, cases, cells, metadata)
    table, parquet = directory / "outcomes.csv", directory / "outcomes.parquet"
    with (
        replacing(table) as new_table,
        replacing(parquet) as new_parquet,
        _private(new_table, new_parquet),
        new_table.open("w", newline="", encoding="utf-8") as file,
        # A path is taken for an address: ~ would be the home folder.
        new_parquet.open("wb") as parquet_file,
        pq.ParquetWriter(parquet_file, schema, compression="zstd") as columns,
    ):
        writer = csv.writer(_CsvFile(file))
        writer.writerow([as_cell(field.name) for field in schema])
        while block := list(islice(lines, _BLOCK)):
            writer.writerows([as_cell(value) for value in line] for line in block)
            arrays = [pa.array(c, f.type) for c, f in zip(zip(*block), schema, strict=True)]
            columns.write_table(pa.table(arrays, schema=schema))
    with table.open("rb") as written:
        return hashlib.file_digest(written, "sha256").hexdigest()


@contextmanager
def _private(*paths: Path) -> Iterator[None]:
    """Files that nobody else can read while they are written, either."""
    for path in paths:
        create_private(path)
    yield


def _schema(classes: Sequence[str], metadata: Sequence[str]) -> pa.Schema:
    """The columns; a metadata column with a taken name gets another one."""
    fields = [pa.field(name, kind) for name, kind in _COLUMNS]
    logits = [pa.field(f"logit_{name}", pa.float64()) for name in classes]
    taken = {field.name for field in (*fields, *logits)}
    for name in metadata:
        free = name
        while free in taken:
            free = f"metadata_{free}"
        taken.add(free)
        fields.append(pa.field(free, pa.string()))
    return pa.schema([*fields, *logits])


@dataclass(frozen=True)
class _CsvFile:
    """A file for a csv.writer, which quotes a carriage return only where it ends lines with one."""

    file: TextIO

    def write(self, line: str) -> None:
        """One line, which ends with a line feed alone."""
        self.file.write(line.removesuffix("\r\n") + "\n")


def _lines(
    store: RunStore, cases: Cases, cells: Sequence[Cell], metadata: Sequence[str]
) -> Iterator[list[object]]:
    names, none = cases.classes, [None] * len(cases.classes)
    for clean in store.clean():
        entry = cases.entries[clean.row]
        line = [entry.id, entry.group, names[entry.label], "clean", *_blanks(2)]
        columns = [entry.metadata.get(name) for name in metadata]
        if clean.kept is None:
            yield [*line, *_blanks(6), "file could not be read", *columns, *none]
        else:
            prediction = names[int(np.argmax(clean.kept))]
            yield [*line, prediction, *_blanks(6), *columns, *_floats(clean.kept)]
    for cell in cells:
        if cell.same_as is not None:
            continue
        for o in store.outcomes(cell.key):
            entry = cases.entries[o.row]
            yield [
                *(entry.id, entry.group, names[entry.label]),
                *(cell.label, cell.threat.norm, cell.eps),
                *(names[int(np.argmax(o.kept))], o.success),
                *(_finite(o.linf), _finite(o.l2), o.passes, o.saturated, o.failure),
                *(entry.metadata.get(name) for name in metadata),
                *_floats(o.kept),
            ]


def _blanks(count: int) -> list[None]:
    return [None] * count


def _floats(logits: Array) -> list[float | None]:
    return [_finite(float(value)) for value in logits]


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
