"""Images without labels as cases: files, folders, a table that names them, or an npz of arrays."""

from __future__ import annotations

import dataclasses
import logging
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robust.cases import open_cases
from robust.cases.case import Cases, Entry, Pixels, StoredImage
from robust.cases.cell_types import EMPTY_WORDS
from robust.cases.entries import read_case
from robust.cases.formats import READ, is_dicom
from robust.cases.index.files import image_files, unread_remedy, unread_text
from robust.cases.npz import load_array
from robust.cases.phantoms.cases import PREFIX
from robust.cases.tables.columns import Tables
from robust.cases.tables.groups import group_in_path
from robust.cases.tables.image_index import ImageIndex
from robust.cases.walk import is_folder, is_there
from robust.errors import InputError
from robust.plan.paths import is_table

ARRAY = "images"
"""Of an npz file without splits; with them `train_images` and so on."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class UnlabelledOptions:
    """Where a source says which images there are, and of whom."""

    file: str = "file"
    """Column of a table that names the image."""
    group: str = "group"
    """Column of a table that names the patient, if there is one; `none`: not to be read."""
    group_pattern: str | None = None
    """Regular expression whose first bracket is the patient in an image's name."""
    split: str | None = None
    """Of an npz file with splits, or of synthetic images."""


@dataclass(frozen=True)
class _Place:
    """An image in an array."""

    images: np.ndarray[Any, Any]
    row: int


def open_unlabelled(
    sources: Sequence[str | Path], options: UnlabelledOptions = UnlabelledOptions()
) -> Cases:
    """The images of all sources, whatever labels may stand beside them; InputError.

    An id is the path as the user gave it, or as the table has it; of a DICOM file with several
    frames, with `#1` and so on behind it. A folder stands for all images below it; files in other
    formats are counted in a warning. Labels are 0, and mean nothing. The group is the patient where
    table, pattern or DICOM file names one, else the image itself.
    """
    left_out: Counter[str] = Counter()
    salt = secrets.token_bytes(16)  # one for all sources: a patient may have images in several
    entries = [
        entry for source in sources for entry in _entries(str(source), options, left_out, salt)
    ]
    if left_out:
        _log.warning("robust: %s; %s", unread_text(left_out), unread_remedy())
    once = {entry.id: entry for entry in entries}
    if options.group_pattern is not None:
        once = {
            name: dataclasses.replace(entry, group=group_in_path(name, options.group_pattern))
            for name, entry in once.items()
        }
    return Cases(source="files", classes=(), entries=tuple(once.values()), read=_read)


def shown_as(
    cases: Cases,
    *,
    size: int | tuple[int, int] | None,
    grey: bool,
    depth: int | None,
    window: int | None,
) -> Cases:
    """Unlabelled images shown as `[data]` of a plan says, where these are its fields."""
    entries = cases.entries
    if window is not None:
        from robust.cases.dicom.frame import Frame

        entries = tuple(
            dataclasses.replace(entry, location=dataclasses.replace(entry.location, window=window))
            if isinstance(entry.location, Frame)
            else entry
            for entry in entries
        )
    pair = (size, size) if isinstance(size, int) else size
    return dataclasses.replace(cases, entries=entries, size=pair, grey=grey, depth=depth)


def _entries(
    source: str, options: UnlabelledOptions, left_out: Counter[str], salt: bytes
) -> list[Entry]:
    if source.startswith(PREFIX):
        return _of_phantoms(source, options)
    path = Path(source).expanduser()
    if is_table(path.name) and is_there(path):
        return _of_table(path, options, salt)
    if path.suffix == ".npz" and is_there(path):
        return _of_arrays(path, options)
    return [
        entry
        for one in _images_below(path, left_out)
        for entry in _of_file(one, str(one), "", salt)
    ]


def _images_below(path: Path, left_out: Counter[str]) -> list[Path]:
    """A file itself, or all image files below a folder; `left_out` counts others by suffix."""
    if not is_folder(path):
        if is_there(path):
            return [path]
        raise InputError(f"no such image or folder: {path}")
    found = list(image_files(path, left_out))
    if not found:
        left = f"; {unread_text(left_out)}" if left_out else ""
        raise InputError(f"no images under {path}; looked for {READ}{left}")
    return found


def _of_file(path: Path | None, key: str, group: str, salt: bytes) -> list[Entry]:
    """The entries of one file: the frames of a DICOM file, else the image."""
    if path is None or not is_dicom(path):
        return [Entry(key, 0, group or key, {}, path)]
    from robust.cases.dicom.frame import Frame
    from robust.cases.dicom.header import read_header

    header = read_header(path, salt)
    count = max(header.frames, 1)
    return [
        Entry(
            key if count == 1 else f"{key}#{frame + 1}",
            0,
            group or header.patient or key,
            {},
            Frame(path, frame, None),
        )
        for frame in range(count)
    ]


def _of_table(path: Path, options: UnlabelledOptions, salt: bytes) -> list[Entry]:
    tables = Tables.open(path.parent, (path.name,), ())
    tables.require(options.file, "file", ": name it with --file-column")
    named = options.group in tables.header
    rows = tables.read([options.file, *([options.group] if named else [])], [options.file])
    if any(cell in EMPTY_WORDS for cell in rows[options.file]):
        raise InputError(f"{path}: a row names no image in column {options.file!r}")
    located = ImageIndex(path.parent).locate(rows[options.file])
    groups = rows[options.group] if named else [""] * len(located)
    return [
        entry
        for found, group in zip(located, groups, strict=True)
        for entry in _of_file(found.path, found.key, "" if group in EMPTY_WORDS else group, salt)
    ]


def _of_arrays(path: Path, options: UnlabelledOptions) -> list[Entry]:
    name = ARRAY if options.split is None else f"{options.split}_{ARRAY}"
    images = load_array(path, name)
    if images.dtype != np.uint8 or not (
        images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (1, 3))
    ):
        raise InputError(
            f"{path.name}: {name} must be uint8 (n, h, w) or (n, h, w, 3); it is {images.dtype} "
            f"{images.shape}"
        )
    names = [f"{options.split or path.stem}-{row}" for row in range(len(images))]
    return [Entry(one, 0, one, {}, _Place(images, row)) for row, one in enumerate(names)]


def _of_phantoms(source: str, options: UnlabelledOptions) -> list[Entry]:
    cases = open_cases(source, split=options.split or "test")
    return [
        dataclasses.replace(entry, label=0, location=(cases, row))
        for row, entry in enumerate(cases.entries)
    ]


def _read(location: Any) -> Pixels | StoredImage:
    if isinstance(location, _Place):
        pixels: Pixels = np.array(location.images[location.row])
        return pixels
    if isinstance(location, tuple):
        cases, row = location
        stored: StoredImage = cases.stored_image(row)
        return stored
    return read_case(location)
