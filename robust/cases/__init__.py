"""Reads cases from cases.csv, class folders, DICOM, MedMNIST or synthetic images: `open_cases`."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from robust.cases.case import Case, Cases, Stored
from robust.cases.folder import open_folder
from robust.cases.in_memory import cases_from
from robust.cases.index.findings import finding_notice
from robust.cases.index.spelling import tidy
from robust.cases.manifest import MANIFEST, open_manifest
from robust.cases.medmnist import open_medmnist
from robust.cases.phantoms.cases import PREFIX, open_phantoms
from robust.cases.walk import file_size, is_folder, is_there
from robust.errors import InputError, excerpt

__all__ = ["Case", "Cases", "Stored", "cases_from", "open_cases"]

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
    **options: Any,
) -> Cases:
    """The cases of a folder, a MedMNIST file, or `phantom:chest_xray|fundus|dermoscopy`.

    Further options are those of the reader that fits (`open_manifest`, `open_folder`,
    `open_medmnist`, `open_phantoms`): split, label, where, classes, findings, group, subgroups,
    window. DICOM files lie in folders as other images do, or a DICOMDIR with cases.csv beside it.
    `limit` draws so many cases with `limit_seed` (0), stratified by class and group; `size`, (h, w)
    or one number, and `grey` change what is read, and so what the attacker may touch. `depth` says
    that image files hold values of so many bits, such as 12 in files of 16. Raises InputError.
    """
    reader, place = _reader(str(path))
    known = [name for name in inspect.signature(reader).parameters if name != "directory"]
    for name, value in list(options.items()):
        if name not in known:
            if value in (None, (), [], False):
                del options[name]
                continue
            raise InputError(f"[data] {name} = {value!r} does not apply to {path}; remove it")
    for name in ("classes", "findings"):
        if options.get(name):
            options[name] = tuple(map(tidy, options[name]))
    cases = reader(place, **{k: v for k, v in options.items() if v is not None})
    if limit is not None:
        if limit < 1:
            raise InputError(f"limit {limit} selects no case; use 1 or more")
        cases = cases.sample(limit, limit_seed or 0)
    if depth is not None:
        if not 1 <= depth <= MOST_BITS:
            raise InputError(f"[data] depth must be 1 to {MOST_BITS} bits, not {excerpt(depth)}")
        cases = dataclasses.replace(cases, depth=depth)
    if options.get("findings") is None and len(cases.classes) == 2:
        if notice := finding_notice(cases.classes, cases.findings):
            _log.warning("robust: %s", notice)
    pair = (size, size) if isinstance(size, int) else size
    if pair is not None and not 1 <= min(pair) <= max(pair) <= MOST_PIXELS:
        raise InputError(
            f"[data] size must be 1 to {MOST_PIXELS} pixels, not {excerpt(tuple(pair))}"
        )
    if pair is not None or grey:
        cases = dataclasses.replace(cases, size=pair, grey=grey)
    return cases


def _reader(path: str) -> tuple[Callable[..., Cases], Any]:
    if path.startswith(PREFIX):
        return open_phantoms, path.removeprefix(PREFIX)
    place = Path(os.path.expanduser(path))
    if place.suffix == ".npz" and file_size(place) is not None:
        return open_medmnist, place
    if place.name.upper() == "DICOMDIR" and file_size(place) is not None:
        if not is_there(place.parent / MANIFEST):
            raise InputError(
                f"{path} does not contain labels; write a cases.csv beside it with the columns "
                f"sop_instance_uid and label"
            )
        return functools.partial(open_manifest, directory=place), place.parent
    if is_folder(place):
        # Also a pipe or a link that leads nowhere: class folders would be another data set.
        return (open_manifest if is_there(place / MANIFEST) else open_folder), place
    if is_there(place):
        raise InputError(
            f"{path} is neither a folder of images nor a MedMNIST .npz file; name one of these"
        )
    raise InputError(f"no such folder or file: {path}; check the path in [data]")
