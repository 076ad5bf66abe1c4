"""Writes outcomes.csv and outcomes.parquet, from which every rate can be recomputed."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from robust.cases.case import Cases
from robust.engine.cells import Cell
from robust.engine.outcome_table.by_class import ByClass
from robust.engine.outcome_table.by_structure import ByStructure
from robust.engine.outcome_table.csv_file import CsvFile, file_hash
from robust.engine.outcome_table.form import Line, RunContent, TableForm
from robust.engine.run_store import RunStore
from robust.files import create_private, replacing
from robust.printable import as_cell
from robust.records.inputs import CLASSIFICATION, SEGMENTATION, AuditedTask

_FORMS: Mapping[str, TableForm] = {CLASSIFICATION: ByClass(), SEGMENTATION: ByStructure()}
"""By the name of the task."""
_BLOCK = 10_000
"""Rows in memory at a time, which are one row group of the Parquet file."""


def write_table(
    directory: Path,
    store: RunStore,
    cases: Cases,
    cells: Sequence[Cell],
    task: AuditedTask,
) -> str:
    """Write both files, each replacing an old one as a whole; returns the SHA-256 of the CSV.

    `eps` is empty on clean lines and where a minimum-norm attack had no bound. The CSV has numbers
    with nine digits, which give a float32 back exactly, and text that a spreadsheet would take for
    a formula begins with an apostrophe there; the Parquet file holds all as it is.
    """
    form, run = _FORMS[task.name], RunContent(store, cases, cells, task.structures)
    schema, lines = _schema(form, run), form.lines(run)
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
        writer = csv.writer(CsvFile(file))
        writer.writerow([as_cell(field.name) for field in schema])
        while block := list(islice(lines, _BLOCK)):
            writer.writerows([as_cell(value) for value in line] for line in block)
            columns.write_table(_as_arrow(block, schema))
    return file_hash(table)


def _as_arrow(block: Sequence[Line], schema: pa.Schema) -> pa.Table:
    arrays = [pa.array(c, f.type) for c, f in zip(zip(*block), schema, strict=True)]
    return pa.table(arrays, schema=schema)


@contextmanager
def _private(*paths: Path) -> Iterator[None]:
    """Files that nobody else can read while they are written, either."""
    for path in paths:
        create_private(path)
    yield


def _schema(form: TableForm, run: RunContent) -> pa.Schema:
    """The columns; a metadata column with a taken name gets another one."""
    fields, place = form.fields(run), form.place(run)
    taken = {field.name for field in fields}
    metadata = []
    for name in run.metadata:
        free = name
        while free in taken:
            free = f"metadata_{free}"
        taken.add(free)
        metadata.append(pa.field(free, pa.string()))
    return pa.schema([*fields[:place], *metadata, *fields[place:]])
