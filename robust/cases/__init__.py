"""Reads cases from tables, class folders, DICOM, MedMNIST or synthetic images: `open_cases`."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from robust.cases.case import Case, Cases, Stored
from robust.cases.folder import open_folder
from robust.cases.in_memory import cases_from
from robust.cases.index.findings import finding_notice
from robust.cases.index.spelling import tidy
from robust.cases.medmnist import medmnist_findings, open_medmnist
from robust.cases.phantoms.cases import PREFIX, open_phantoms
from robust.cases.tables.bags import cases_in_bags
from robust.cases.tables.beside import table_remedy
from robust.cases.tables.label_table import MANIFEST, LabelTable, TableOptions
from robust.cases.walk import file_size, is_folder, is_there
from robust.errors import InputError, did_you_mean, excerpt
from robust.plan.paths import FOLDERS_ALONE, is_table

__all__ = [
    "Case",
    "Cases",
    "Stored",
    "cases_from",
    "finding_names",
    "open_cases",
    "open_findings",
]

OpenCases = Callable[[], Cases]
MOST_PIXELS = 8192
"""Of a side of a resized image."""
MOST_BITS = 16
"""Of a value in an image file."""
_log = logging.getLogger(__name__)


def open_cases(
    path: str | Path,
    *,
    limit: int | None = None,
    limit_seed: int | None = None,
    depth: int | None = None,
    size: int | tuple[int, int] | None = None,
    grey: bool = False,
    bag: str | None = None,
    **options: Any,
) -> Cases:
    """The cases of a folder, a table, a MedMNIST file, or synthetic ones, `phantom:NAME`.

    Further options are those of the reader that fits (`TableOptions`, `open_folder`,
    `open_medmnist`, `open_phantoms`): table, file, split, label, mask, where, classes, findings,
    group, subgroups, volumes, window. DICOM files lie in folders as other images do, or a DICOMDIR
    with cases.csv beside it. `limit` draws so many cases with `limit_seed` (0), stratified by class
    and group; `size`, (h, w) or one number, and `grey` change what is read, and so what the
    attacker may touch. With `bag` the images of one patient (`group`), or with one value of a
    column, are one case (`tables.bags`), and `size` is that of each image. `depth` says that image
    files hold values of so many bits, such as 12 in files of 16. Raises InputError.
    """
    given = _given(options)
    place = None if str(path).startswith(PREFIX) else _table_of(_at_home(path), given)
    if place is not None:
        cases = _open_table(*place, given).cases()
    else:
        reader, source = _reader(str(path))
        cases = reader(source, **_known(reader, given, str(path)))
    if bag is not None:
        cases = cases_in_bags(_as_shown(cases, size, grey, depth), bag)
        size, grey, depth = None, False, None
    if limit is not None:
        if limit < 1:
            raise InputError(f"limit {limit} selects no case; use 1 or more")
        cases = cases.sample(limit, limit_seed or 0)
    if given.get("findings") is None and len(cases.classes) == 2 and cases.outlines is None:
        if notice := finding_notice(cases.classes, cases.findings):
            _log.warning("robust: %s", notice)
    return _as_shown(cases, size, grey, depth)


def open_findings(
    path: str | Path,
    names: str | tuple[str, ...] = "all",
    *,
    size: int | tuple[int, int] | None = None,
    grey: bool = False,
    depth: int | None = None,
    **options: Any,
) -> dict[str, Cases]:
    """The cases of each finding that a table or a MedMNIST file has labels of, by its name.

    Images, ids and groups are the same for each; an image whose label of a finding the policies
    `uncertain` and `blank` leave out is missing there. `names` chooses findings; the options are
    those of `open_cases`. Raises InputError, also for data with labels of one kind alone.
    """
    found = _findings_of(path, options)
    chosen = tuple(found) if names == "all" else (names,) if isinstance(names, str) else names
    for name in chosen:
        if name not in found:
            raise InputError(
                f"{path} has no finding {excerpt(name)!r}; {did_you_mean(name, found)}"
            )
    return {name: _as_shown(found[name](), size, grey, depth) for name in chosen}


def finding_names(path: str | Path, **options: Any) -> tuple[str, ...]:
    """Names of the findings that `open_findings` would open, with the same options; InputError."""
    for name in ("limit", "limit_seed", "size", "grey", "depth"):
        options.pop(name, None)
    return tuple(_findings_of(path, options))


def _findings_of(path: str | Path, options: Mapping[str, Any]) -> Mapping[str, OpenCases]:
    """What opens the cases of each finding, by its name."""
    given = _given(options)
    place = _at_home(path)
    if place.suffix == ".npz":
        return medmnist_findings(place, **_known(open_medmnist, given, str(path)))
    table = None if str(path).startswith(PREFIX) else _table_of(place, given)
    if table is None:
        raise InputError(f"{path} has one label for each image; a table can have more findings")
    opened = _open_table(*table, given)
    return {name: functools.partial(opened.cases, name) for name in opened.finding_names()}


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that say something, with class names as they are kept."""
    given = {name: value for name, value in options.items() if value is not None}
    for name in ("classes", "findings"):
        if given.get(name):
            given[name] = tuple(map(tidy, given[name]))
    return given


def _as_shown(
    cases: Cases, size: int | tuple[int, int] | None, grey: bool, depth: int | None
) -> Cases:
    if depth is not None:
        if not 1 <= depth <= MOST_BITS:
            raise InputError(f"[data] depth must be 1 to {MOST_BITS} bits, not {excerpt(depth)}")
        cases = dataclasses.replace(cases, depth=depth)
    pair = (size, size) if isinstance(size, int) else size
    if pair is not None and not 1 <= min(pair) <= max(pair) <= MOST_PIXELS:
        raise InputError(
            f"[data] size must be 1 to {MOST_PIXELS} pixels, not {excerpt(tuple(pair))}"
        )
    if pair is not None or grey:
        cases = dataclasses.replace(cases, size=pair, grey=grey)
    return cases


def _at_home(path: str | Path) -> Path:
    return Path(os.path.expanduser(path))


def _known(reader: Callable[..., Any], given: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """The options; InputError for one that the reader does not have and that says something."""
    known = inspect.signature(reader).parameters
    for name, value in given.items():
        if name not in known and value not in ((), [], False):
            if reader is open_folder and name in inspect.signature(TableOptions).parameters:
                raise InputError(
                    f"[data] {name} = {value!r} needs a table of labels, and {path} has no "
                    f"cases.csv{table_remedy(_at_home(path))}"
                )
            raise InputError(f"[data] {name} = {value!r} does not apply to {path}; remove it")
    return {name: value for name, value in given.items() if name in known}


def _table_of(place: Path, given: dict[str, Any]) -> tuple[Path, Path | None] | None:
    """The folder of images with a table, and the DICOMDIR that names them; None without a table.

    The names of the tables are put into the options.
    """
    tables = given.pop("table", ())
    tables = (tables,) if isinstance(tables, str) else tuple(tables)
    if tables == (FOLDERS_ALONE,):
        given["folders_alone"] = True
        return None
    given |= {"table": tables} if tables else {}
    if is_table(place.name) and file_size(place) is not None:
        if tables:
            raise InputError(
                f"{place} is a table itself; name the folder in path, or leave out table"
            )
        given["table"] = (place.name,)
        return place.parent, None
    if place.name.upper() == "DICOMDIR" and file_size(place) is not None:
        if not tables and not is_there(place.parent / MANIFEST):
            raise InputError(
                f"{place} does not contain labels; write a cases.csv beside it with the columns "
                f"sop_instance_uid and label"
            )
        return place.parent, place
    # Also a pipe or a link that leads nowhere: class folders would be another data set.
    if is_folder(place) and (tables or is_there(place / MANIFEST)):
        return place, None
    return None


def _open_table(folder: Path, directory: Path | None, given: Mapping[str, Any]) -> LabelTable:
    options: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in _known(TableOptions, given, str(folder)).items()
    }
    if isinstance(options.get("spacing"), int | float):
        options["spacing"] = (options["spacing"],)
    for name in ("table", "join", "positive"):
        if isinstance(options.get(name), str):
            options[name] = (options[name],)
    if not options.get("table", True):
        del options["table"]
    return LabelTable(folder, TableOptions(**options), directory)


def _reader(path: str) -> tuple[Callable[..., Cases], Any]:
    if path.startswith(PREFIX):
        return open_phantoms, path.removeprefix(PREFIX)
    place = _at_home(path)
    if place.suffix == ".npz" and file_size(place) is not None:
        return open_medmnist, place
    if is_folder(place):
        return open_folder, place
    if is_there(place):
        raise InputError(
            f"{path} is neither a folder of images, a table nor a MedMNIST .npz file; name one of "
            f"these"
        )
    raise InputError(f"no such folder or file: {path}; check the path in [data]")
