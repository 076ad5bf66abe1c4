"""Reads a folder with cases.csv: one row per image with label, group, split and metadata."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from robust.cases.case import MOST_CLASSES, Cases, Entry, finding_indices
from robust.cases.case_table import CaseTable, read_case_table
from robust.cases.entries import EntryMaker, check_unique, digest_of_file, read_case
from robust.cases.index.spelling import check_class_spelling, tidy
from robust.cases.row_filter import Mask, RowFilter, parse_filter
from robust.cases.walk import file_size
from robust.errors import InputError, did_you_mean, excerpt

MANIFEST = "cases.csv"
UID = "sop_instance_uid"
"""A column that names DICOM files in place of `file`."""
FEW_VALUES = 12
"""A numeric metadata column with more distinct values than this is cut into quartiles."""


def open_manifest(
    root: Path,
    *,
    split: str | None = None,
    label: str = "label",
    where: str | None = None,
    classes: Sequence[str] | None = None,
    findings: Sequence[str] | None = None,
    group: str = "group",
    subgroups: Sequence[str] = (),
    keep_names: bool = False,
    window: int | None = None,
    directory: Path | None = None,
) -> Cases:
    """The cases in the rows of `root/cases.csv` that are of `split` and match the filter `where`.

    `label` holds integers from 0 (names from the column `<label>_name` or `classes`), or names.
    `where` is a row filter such as `source == "odir" and age > 40` (`robust.cases.row_filter` says
    what it may hold). `subgroups` are the metadata columns to keep; every other column stays in the
    file. A row may name a DICOM file by its `sop_instance_uid` (`directory`: the DICOMDIR that says
    where it lies); a table of DICOM files without a group column takes the patient of each file.
    `window` chooses a view of DICOM files.
    """
    row_filter = None if where is None else parse_filter(where)
    named = {label, f"{label}_name", group, *subgroups, *(row_filter.columns if row_filter else ())}
    texts = {"file", UID, "split", group}
    table = read_case_table(root / MANIFEST, named | texts, texts)
    located = everything = _locate(table, root, directory)
    if row_filter is not None:
        table, kept = _filtered(table, row_filter)
        located = [everything[row] for row in kept]
    names, labels = _labels(table, _column(table, label, "label"), classes)
    in_order = classes is not None or pd.api.types.is_numeric_dtype(table.rows[label])
    chosen, split = _split(table, split)
    keys, files = _found(located, root)
    # From all rows, so that a patient has one pseudonym whatever the split and the filter.
    maker = EntryMaker(files, keep_names, window, _sorted_files(everything))
    grouped = group != "none"
    # Without a group column, each DICOM file names its patient.
    patients = maker.dicom and group == "group" and group not in table.header
    if grouped and not patients:
        _column(table, group, "group", ' (or group = "none", each image its own group)')
    metadata = {name: _subgroup(table.rows[_column(table, name, "subgroup")]) for name in subgroups}

    entries: list[Entry] = []
    for position in chosen.nonzero()[0]:
        key = keys[position]
        owner = key if not grouped else None
        if grouped and not patients:
            owner = _owner(table.rows[group].iloc[position], group, key)
        row_metadata = {name: values[position] for name, values in metadata.items()}
        entries += maker.entries(files[position], key, int(labels[position]), owner, row_metadata)
    check_unique(entries, MANIFEST)
    return Cases(
        # Neither the folder's name nor the filter's text, which may hold a patient's name.
        source="a folder of images with a table"
        + (f", filtered to {len(located)} of {len(everything)} rows" if row_filter else ""),
        classes=names,
        entries=tuple(entries),
        read=read_case,
        findings=finding_indices(names, findings, in_order=in_order),
        grouped=grouped,
        split=split,
        showable=not maker.dicom,
        digest=digest_of_file,
        notes=maker.notes,
    )


def _owner(cell: Any, group: str, key: str) -> str:
    """The group of a row; InputError where its cell is empty."""
    if pd.isna(cell) or not str(cell):
        raise InputError(f"{MANIFEST}: {key} has no {group}; fill it in or remove the row")
    return str(cell)


def _locate(table: CaseTable, root: Path, directory: Path | None) -> list[tuple[str, Path | None]]:
    """What each row calls its image, and where that lies; an empty cell, and None if unknown."""
    if "file" not in table.header and UID in table.header:
        return _instances(table, root, directory)
    cells = table.rows[_column(table, "file", "file")].to_numpy(object)
    # So that ./a.png is a.png.
    keys = ["" if pd.isna(cell) else PurePosixPath(cell).as_posix() for cell in cells]
    return [(key, root / key if key else None) for key in keys]


def _instances(
    table: CaseTable, root: Path, directory: Path | None
) -> list[tuple[str, Path | None]]:
    from robust.cases.dicom.header import by_uid

    if directory is None and file_size(root / "DICOMDIR") is not None:
        directory = root / "DICOMDIR"
    known = by_uid(root, directory)
    cells = table.rows[UID].to_numpy(object)
    keys = ["" if pd.isna(cell) else str(cell).strip() for cell in cells]
    return [(key, known.get(key)) for key in keys]


def _found(located: list[tuple[str, Path | None]], root: Path) -> tuple[list[str], list[Path]]:
    """Keys and files; InputError for a row without one."""
    keys, files = [], []
    for key, path in located:
        if not key:
            raise InputError(f"{MANIFEST}: a row names no file; fill it in or remove the row")
        if path is None:
            raise InputError(
                f"{MANIFEST}: no DICOM file of {root} has the {UID} {excerpt(key)}; fix it or "
                f"remove the row"
            )
        keys.append(key)
        files.append(path)
    return keys, files


def _sorted_files(located: list[tuple[str, Path | None]]) -> Iterator[Path]:
    yield from sorted({path for _, path in located if path is not None}, key=Path.as_posix)


def _column(table: CaseTable, name: str, role: str, remedy: str = "") -> str:
    if name not in table.header:
        raise InputError(
            f"{MANIFEST} has no {role} column {excerpt(name)!r}{remedy}; "
            f"{did_you_mean(name, table.header)}"
        )
    return name


def _filtered(table: CaseTable, row_filter: RowFilter) -> tuple[CaseTable, list[int]]:
    """The rows that a filter keeps, and their numbers."""
    for name in sorted(row_filter.columns):
        if name not in table.header:
            raise InputError(
                f"the filter names a column {excerpt(name)!r} that {MANIFEST} does not have; "
                f"{did_you_mean(name, table.header)}"
            )
    kept = row_filter.rows(table.rows).nonzero()[0]
    if not len(kept):
        raise InputError(
            f"the filter matches no row of {MANIFEST}, which has {len(table.rows)}; change it"
        )
    rows = table.rows.iloc[kept].reset_index(drop=True)
    return dataclasses.replace(table, rows=rows), [int(row) for row in kept]


def _split(table: CaseTable, split: str | None) -> tuple[Mask, str]:
    if split == "all" or (split is None and "split" not in table.header):
        return np.ones(len(table.rows), bool), "all"
    _column(table, "split", "split", ' (or split = "all")')
    wanted = split or "test"
    values = table.rows["split"]
    chosen = np.asarray(values == wanted)
    if not chosen.any():
        known = sorted(values.dropna().unique())
        raise InputError(
            f"{MANIFEST} has no rows of split {excerpt(wanted)!r}; "
            + (did_you_mean(wanted, known) if known else 'its column is empty; set split = "all"')
        )
    return chosen, wanted


def _labels(
    table: CaseTable, column: str, classes: Sequence[str] | None
) -> tuple[tuple[str, ...], list[int]]:
    values = table.rows[column]
    if values.isna().any():
        file = table.rows["file"][values.isna()].iloc[0] if "file" in table.header else "a row"
        raise InputError(f"{MANIFEST}: {file} has no {column}; fill it in or exclude it with where")
    if pd.api.types.is_bool_dtype(values):
        values = values.astype(int)
    if not pd.api.types.is_numeric_dtype(values):
        texts = values.astype(str).map(tidy)
        if texts.nunique() > MOST_CLASSES:
            raise InputError(
                f"{MANIFEST}: {column} has {texts.nunique()} values, too many for classes; choose "
                f"another label column"
            )
        names = tuple(classes) if classes is not None else tuple(sorted(texts.unique()))
        if classes is None:
            check_class_spelling(names, f"{MANIFEST}, {column}")
        for text in texts.unique():
            if text not in names:
                raise InputError(
                    f"{MANIFEST}: {column} {text!r} is not among the classes; "
                    f"{did_you_mean(text, names)}"
                )
        return names, [names.index(text) for text in texts]
    wrong = (values != values.round()) | (values < 0) | (values >= MOST_CLASSES)
    if wrong.any():
        odd = values[wrong].iloc[0]
        raise InputError(
            f"{MANIFEST}: {column} {odd} is out of range; labels are whole numbers from 0 "
            f"that number the classes; choose another label column or fix the row"
        )
    numbers = [int(v) for v in values]
    if classes is None:
        classes = _names(table, column, numbers)
    if max(numbers) >= len(classes):
        raise InputError(
            f"{MANIFEST}: {column} {max(numbers)} is out of range for the {len(classes)} classes "
            f"{', '.join(classes)}; name more classes or filter the rows"
        )
    return tuple(classes), numbers


def _names(table: CaseTable, column: str, numbers: list[int]) -> list[str]:
    names = [str(i) for i in range(max(numbers) + 1)]
    if f"{column}_name" in table.header:
        pairs = zip(numbers, table.rows[f"{column}_name"].astype(str), strict=True)
        for number, name in dict.fromkeys(pairs):
            if names[number] not in (str(number), name):
                raise InputError(
                    f"{MANIFEST}: {column} {number} is called {names[number]!r} and {name!r} in "
                    f"{column}_name; use one name, or set classes"
                )
            names[number] = name
    return names


def _subgroup(values: pd.Series[Any]) -> list[str]:
    """Values as text; a number with many values becomes its quartile, an empty cell `unknown`."""
    texts = values.astype(object)
    if pd.api.types.is_numeric_dtype(values) and values.nunique() > FEW_VALUES:
        known = values.dropna().to_numpy(float)
        edges = np.unique(np.quantile(known[np.isfinite(known)], [0.25, 0.5, 0.75]))
        digits = ".10g" if len({f"{edge:.10g}" for edge in edges}) == len(edges) else ".17g"
        ends = [format(edge, digits) for edge in edges]
        names = [f"to {ends[0]}", *(f"over {a} to {b}" for a, b in itertools.pairwise(ends))]
        names.append(f"over {ends[-1]}")
        texts[values.notna()] = [names[place] for place in np.searchsorted(edges, known)]
    if texts.nunique() > 50:
        raise InputError(
            f"{MANIFEST}: {excerpt(values.name)} has {texts.nunique()} values, too many for "
            f"subgroups; choose a column with at most 50"
        )
    return [
        "unknown" if pd.isna(v) else f"{v:.10g}" if isinstance(v, float) else str(v) for v in texts
    ]
