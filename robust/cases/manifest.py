"""Reads a folder with cases.csv: one row per image with label, group, split and metadata."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from robust.cases.case import MOST_CLASSES, Cases, Entry, finding_indices
from robust.cases.entries import EntryMaker, check_unique, digest_of_file, read_case
from robust.errors import InputError, did_you_mean, first_line

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
    `where` is a pandas query such as `source == "odir" and age > 40`. `subgroups` are the metadata
    columns to keep; every other column stays in the file. A row may name a DICOM file by its
    `sop_instance_uid` (`directory`: the DICOMDIR that says where it lies); a table of DICOM files
    without a group column takes the patient of each file. `window` chooses a view of DICOM files.
    """
    table = _read(root / MANIFEST, group)
    if where is not None:
        table = _filter(table, where)
    column = _column(table, label, "label")
    names, labels = _labels(table, column, classes)
    chosen, split = _split(table, split)
    keys, files = _files(table, root, directory)
    maker = EntryMaker(files, keep_names, window)
    grouped = group != "none"
    # Without a group column, each DICOM file names its patient.
    patients = maker.dicom and group == "group" and group not in table.columns
    if grouped and not patients:
        _column(table, group, "group", ' (or group = "none", each image its own group)')
    metadata = {name: _subgroup(table[_column(table, name, "subgroup")]) for name in subgroups}

    entries: list[Entry] = []
    for position in chosen.to_numpy().nonzero()[0]:
        key = keys[position]
        owner = key if not grouped else None
        if grouped and not patients:
            owner = _owner(table[group].iloc[position], group, key)
        row_metadata = {name: values[position] for name, values in metadata.items()}
        entries += maker.entries(files[position], key, int(labels[position]), owner, row_metadata)
    check_unique(entries, MANIFEST)
    return Cases(
        source=f"folder {root.resolve().name}" + (f" where {where}" if where else ""),
        classes=names,
        entries=tuple(entries),
        read=read_case,
        findings=finding_indices(names, findings),
        grouped=grouped,
        split=split,
        showable=not maker.dicom,
        digest=digest_of_file,
    )


def _owner(cell: Any, group: str, key: str) -> str:
    """The group of a row; InputError where its cell is empty."""
    if pd.isna(cell) or not str(cell):
        raise InputError(f"{MANIFEST}: {key} has no {group}; fill it in or remove the row")
    return str(cell)


def _read(path: Path, group: str) -> pd.DataFrame:
    # A patient 007 is not the patient 7: what names something is text.
    names = {"file": str, UID: str, group: str}
    try:
        table = pd.read_csv(path, dtype=names, keep_default_na=True, low_memory=False)
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a text file in UTF-8; save it as CSV in UTF-8") from None
    except (ValueError, OSError) as error:  # pandas' parser errors are ValueErrors
        raise InputError(f"{path} cannot be read as a table: {error}") from None
    if table.empty:
        raise InputError(f"{path} has no rows; it needs one for each image")
    return table.reset_index(drop=True)


def _files(table: pd.DataFrame, root: Path, directory: Path | None) -> tuple[list[str], list[Path]]:
    """What each row calls its image, and where that lies."""
    if "file" not in table.columns and UID in table.columns:
        return _instances(table, root, directory)
    _column(table, "file", "file")
    keys = []
    for cell in table["file"]:
        if pd.isna(cell):
            raise InputError(f"{MANIFEST}: a row names no file; fill it in or remove the row")
        keys.append(PurePosixPath(cell).as_posix())  # so that ./a.png is a.png
    return keys, [root / key for key in keys]


def _instances(
    table: pd.DataFrame, root: Path, directory: Path | None
) -> tuple[list[str], list[Path]]:
    from robust.cases.dicom.header import by_uid

    if directory is None and (root / "DICOMDIR").is_file():
        directory = root / "DICOMDIR"
    known = by_uid(root, directory)
    keys = [str(cell).strip() for cell in table[UID]]
    for key in keys:
        if key not in known:
            raise InputError(
                f"{MANIFEST}: no DICOM file of {root} has the {UID} {key}; fix it or remove the row"
            )
    return keys, [known[key] for key in keys]


def _column(table: pd.DataFrame, name: str, role: str, remedy: str = "") -> str:
    if name not in table.columns:
        raise InputError(
            f"{MANIFEST} has no {role} column {name!r}{remedy}; {did_you_mean(name, table.columns)}"
        )
    return name


def _filter(table: pd.DataFrame, where: str) -> pd.DataFrame:
    try:
        kept = table.query(where, engine="python", local_dict={}, global_dict={})
    except Exception as error:  # noqa: BLE001  (a query can fail in any way that Python can)
        raise InputError(
            f"the filter {where!r} does not work on {MANIFEST}: {first_line(error)}; "
            f"its columns are {', '.join(table.columns)}"
        ) from None
    if not isinstance(kept, pd.DataFrame) or kept.empty:
        raise InputError(f"the filter {where!r} matches no row of {MANIFEST}; change it")
    return kept.reset_index(drop=True)


def _split(table: pd.DataFrame, split: str | None) -> tuple[pd.Series[bool], str]:
    everything = pd.Series(True, index=table.index)
    if split == "all" or (split is None and "split" not in table.columns):
        return everything, "all"
    _column(table, "split", "split", ' (or split = "all")')
    chosen_split = split or "test"
    chosen = table["split"].astype(str) == chosen_split
    if not chosen.any():
        known = sorted(table["split"].astype(str).unique())
        raise InputError(
            f"{MANIFEST} has no rows of split {chosen_split!r}; {did_you_mean(chosen_split, known)}"
        )
    return chosen, chosen_split


def _labels(
    table: pd.DataFrame, column: str, classes: Sequence[str] | None
) -> tuple[tuple[str, ...], list[int]]:
    values = table[column]
    if values.isna().any():
        file = table["file"][values.isna()].iloc[0] if "file" in table.columns else "a row"
        raise InputError(f"{MANIFEST}: {file} has no {column}; fill it in or exclude it with where")
    if pd.api.types.is_bool_dtype(values):
        values = values.astype(int)
    if not pd.api.types.is_numeric_dtype(values):
        texts = values.astype(str)
        names = tuple(classes) if classes is not None else tuple(sorted(texts.unique()))
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


def _names(table: pd.DataFrame, column: str, numbers: list[int]) -> list[str]:
    names = [str(i) for i in range(max(numbers) + 1)]
    if f"{column}_name" in table.columns:
        pairs = zip(numbers, table[f"{column}_name"].astype(str), strict=True)
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
    if pd.api.types.is_numeric_dtype(values) and values.nunique() > FEW_VALUES:
        edges = values.quantile([0.25, 0.5, 0.75]).unique()
        names = [f"to {edges[0]:.10g}"]
        names += [f"over {a:.10g} to {b:.10g}" for a, b in itertools.pairwise(edges)]
        names += [f"over {edges[-1]:.10g}"]
        texts = pd.cut(values, [-math.inf, *edges, math.inf], labels=names).astype(object)
    else:
        texts = values.astype(object)
    if texts.nunique() > 50:
        raise InputError(
            f"{MANIFEST}: {values.name} has {texts.nunique()} values, too many for subgroups; "
            f"choose a column with at most 50"
        )
    return [
        "unknown" if pd.isna(v) else f"{v:.10g}" if isinstance(v, float) else str(v) for v in texts
    ]
