"""Entries of a data set from its files; pydicom is loaded with the first DICOM file."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robust.cases.case import Entry, Pixels, StoredImage, pseudonym
from robust.cases.formats import is_dicom
from robust.cases.images import read_image
from robust.errors import InputError
from robust.files import cannot, open_regular

if TYPE_CHECKING:
    from robust.cases.dicom.frame import Frame


def read_case(location: Path | Frame) -> Pixels | StoredImage:
    """The pixels at `Entry.location`; InputError names the file."""
    if isinstance(location, Path):
        return read_image(location)
    from robust.cases.dicom.frame import read_dicom

    return read_dicom(location)


def digest_of_file(location: Path | Frame) -> str:
    """SHA-256 in hex digits of the file at `Entry.location`; InputError names the file.

    All frames of a file have one digest.
    """
    if isinstance(location, Path):
        return _digest(location)
    try:
        state = location.path.stat()
    except (OSError, ValueError) as error:
        raise InputError(cannot(location.path, "be read", error)) from None
    return _digest_once(location.path, state.st_size, state.st_mtime_ns, state.st_ctime_ns)


@functools.lru_cache(maxsize=4)
def _digest_once(path: Path, *_: int) -> str:
    return _digest(path)  # not once for each of a file's hundreds of frames


def _digest(path: Path) -> str:
    with open_regular(path) as file:
        try:
            return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise InputError(cannot(path, "be read", error)) from None


class EntryMaker:
    """Makes the entries of a data set: one for each frame of a DICOM file, one for any other file.

    A patient of a DICOM file is replaced by a pseudonym as soon as the number is read. The salt
    is the content of the set's first DICOM file: the same in every run and split, and unknown to
    whoever has the pseudonyms alone, so that no list of patient numbers leads back to them.
    """

    def __init__(
        self,
        files: Iterable[Path],
        keep_names: bool,
        window: int | None,
        root: Path | None = None,
    ) -> None:
        """`root` is the folder of all splits, where `files` are those of one."""
        first = next((path for path in sorted(files) if is_dicom(path)), None)
        if first is not None and root is not None:
            first = next(path for path in sorted(root.rglob("*")) if is_dicom(path))
        self.dicom = first is not None
        """Whether any file is DICOM."""
        if window is not None and first is None:
            raise InputError(f"[data] window = {window} is for DICOM files; remove it")
        if window is not None and window < 1:
            raise InputError(f"[data] window = {window}: windows are counted from 1")
        self._keep, self._window = keep_names, window
        self._salt = hashlib.sha256(_content(first)).digest()

    def entries(
        self, path: Path, key: str, label: int, owner: str | None, metadata: Mapping[str, str]
    ) -> list[Entry]:
        """The entries of one file; `owner` None means the patient that the file names.

        InputError where the file then names none.
        """
        name = key if self._keep else pseudonym(key)
        group = "" if owner is None else owner if self._keep else pseudonym(owner)
        if not is_dicom(path):
            if owner is None:
                raise InputError(f"{key} is not DICOM and does not name a patient; {_GROUPS}")
            size = path.stat().st_size if path.is_file() else 0
            return [Entry(name, label, group, metadata, path, size)]
        from robust.cases.dicom.frame import Frame

        if not path.is_file():
            return [Entry(name, label, group or name, metadata, Frame(path, 0, self._window), 0)]
        from robust.cases.dicom.header import read_header

        header = read_header(path, self._salt)
        if owner is None and header.patient is None and header.frames:
            raise InputError(f"{key} does not name a patient; {_GROUPS}")
        if owner is None:
            group = header.patient or header.id
        first = name if self._keep else header.id
        count = max(header.frames, 1)
        return [
            Entry(
                first if count == 1 else f"{first}-{index + 1}",
                label,
                group,
                metadata,
                Frame(path, index, self._window),
                header.size,
            )
            for index in range(count)
        ]


def check_unique(entries: Sequence[Entry], source: str) -> None:
    """InputError where two entries are the same image."""
    seen: dict[str, Any] = {}
    for entry in entries:
        place = getattr(entry.location, "path", entry.location)
        other = seen.get(entry.id)
        if other == place:
            raise InputError(f"{source} names {place} twice; keep one row per image")
        if other is not None:
            raise InputError(f"{source}: {place} is a copy of {other}; keep one of them")
        seen[entry.id] = place


def _content(path: Path | None) -> bytes:
    try:
        return b"" if path is None else path.read_bytes()
    except OSError:
        return b""


_GROUPS = 'add a group column to cases.csv, or set group = "none"'
