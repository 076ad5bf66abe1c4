"""Entries of a data set from its files; pydicom is loaded with the first DICOM file."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from robust.cases.case import CaseNotes, Entry, Pixels, StoredImage
from robust.cases.formats import is_dicom, is_nifti
from robust.cases.images import read_image
from robust.cases.index.spelling import spelled_alike, tidy
from robust.cases.masks.form import MaskPlace
from robust.cases.pseudonyms import pseudonym, salt_of
from robust.cases.volumes.kept import files_of, read_once
from robust.cases.volumes.read import (
    VolumeOptions,
    VolumePlace,
    read_volume,
    volume_places,
)
from robust.cases.walk import file_size, is_folder
from robust.errors import InputError
from robust.files import cannot, open_regular

if TYPE_CHECKING:
    from robust.cases.dicom.frame import Frame

FEW_GROUPS = 8
"""Groups below which names of files show nothing."""
MOST_OF_NAMES = 0.75
"""Different beginnings of file names, as a share of the groups."""
MOST_EACH = 20
"""Images of a patient; a beginning that more share is that of a site or a year."""
_ENDING = re.compile(r"[_\-. ]+(left|right|l|r|od|os|pa|ap|lat|lateral|frontal|\d{1,3})$", re.I)
"""What tells the images of one patient apart at the end of a file's name."""


def read_case(location: Path | Frame | VolumePlace) -> Pixels | StoredImage:
    """The pixels at `Entry.location`; InputError names the file."""
    if isinstance(location, Path):
        return read_image(location)
    if isinstance(location, VolumePlace):
        return read_volume(location)
    from robust.cases.dicom.frame import read_dicom

    return read_dicom(location)


def digest_of_file(location: Path | Frame | VolumePlace | MaskPlace) -> str:
    """SHA-256 in hex digits of the file at `Entry.location`; InputError names the file.

    All frames and slices of a file have one digest; the files of a mask have one together.
    """
    if isinstance(location, Path):
        return _digest(location)
    if isinstance(location, MaskPlace):
        every = ["" if path is None else read_once(_digest, path) for path in location.paths]
        return hashlib.sha256(" ".join(every).encode()).hexdigest()
    return read_once(_digest_of, location.path)  # not for each of a file's hundreds of frames


def _digest_of(path: Path) -> str:
    """Of a folder that of all its files."""
    files = files_of(path)
    if files == [path]:
        return _digest(path)
    every = " ".join(f"{file.name} {_digest(file)}" for file in files)
    return hashlib.sha256(every.encode("utf-8", "surrogateescape")).hexdigest()


def _digest(path: Path) -> str:
    with open_regular(path) as file:
        try:
            return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise InputError(cannot(path, "be read", error)) from None


class EntryMaker:
    """Makes the entries of a data set: one for each frame of a DICOM file, one for any other file.

    File names and patients are replaced by pseudonyms as soon as they are read.
    """

    def __init__(
        self,
        files: Iterable[Path],
        keep_names: bool,
        window: int | None,
        everything: Iterable[Path],
        volumes: VolumeOptions = VolumeOptions(),  # noqa: B008
    ) -> None:
        """`everything` are the files of all splits and rows in a fixed order: the salt's source.

        They are read when the first pseudonym is needed.
        """
        self.dicom = any(is_dicom(path) or is_folder(path) for path in files)
        """Whether any file is DICOM."""
        if window is not None and not self.dicom:
            raise InputError(f"[data] window = {window} is for DICOM files; remove it")
        if window is not None and window < 1:
            raise InputError(f"[data] window = {window}: windows are counted from 1")
        self._keep, self._window, self._everything = keep_names, window, everything
        self._volumes = volumes
        self._owners: dict[str, set[str]] = {}

    @functools.cached_property
    def _salt(self) -> bytes:
        files = (files_of(path) if is_folder(path) else [path] for path in self._everything)
        return salt_of(path for of_one in files for path in of_one)

    def _name(self, text: str) -> str:
        return text if self._keep else pseudonym(text, self._salt)

    @property
    def notes(self) -> CaseNotes:
        """What the names of groups and files show that were given to `entries`."""
        return CaseNotes(
            groups_alike=spelled_alike(self._owners),
            finer_than_names=_finer_than_names(self._owners),
        )

    def entries(
        self, path: Path, key: str, label: int, owner: str | None, metadata: Mapping[str, str]
    ) -> list[Entry]:
        """The entries of one file; `owner` None means the patient that the file names.

        InputError where the file then names none.
        """
        name = self._name(tidy(key))
        if owner is not None:
            owner = tidy(owner)
            self._owners.setdefault(owner, set()).add(key)
        group = "" if owner is None else self._name(owner)
        size = file_size(path)
        if is_nifti(path) and (owner is not None or self._volumes.slices):
            return self._of_volume(path, name, label, group or name, metadata)
        if is_folder(path):
            return self._of_volume(path, name, label, group or self._patient(path, key), metadata)
        if not is_dicom(path):
            if owner is None:
                raise InputError(f"{key} is not DICOM and does not name a patient; {_GROUPS}")
            return [Entry(name, label, group, metadata, path, size or 0)]
        from robust.cases.dicom.frame import Frame

        if size is None:
            return [Entry(name, label, group or name, metadata, Frame(path, 0, self._window), 0)]
        from robust.cases.dicom.header import read_header

        header = read_header(path, self._salt)
        if owner is None and header.patient is None and header.frames:
            raise InputError(f"{key} does not name a patient; {_GROUPS}")
        if owner is None:
            group = header.patient or header.id
        first = name if self._keep else header.id
        if header.frames > 1 and self._volumes.frames_too:
            return self._of_volume(path, first, label, group, metadata)
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

    def _of_volume(
        self, path: Path, name: str, label: int, group: str, metadata: Mapping[str, str]
    ) -> list[Entry]:
        if self._window is not None:
            raise InputError(
                f"[data] window = {self._window} is for single images; of volumes intensities say "
                f"what is shown"
            )
        size = sum(file_size(file) or 0 for file in files_of(path))
        places = volume_places(path, self._volumes)
        ids = [name] if len(places) == 1 else [f"{name}-{k + 1}" for k in range(len(places))]
        return [Entry(one, label, group, metadata, place, size) for one, place in zip(ids, places)]

    def _patient(self, folder: Path, key: str) -> str:
        """The patient whom the first slice of a series names; InputError without one."""
        from robust.cases.dicom.header import read_header

        first = next((file for file in files_of(folder) if is_dicom(file)), None)
        patient = None if first is None else read_header(first, self._salt).patient
        if patient is None:
            raise InputError(f"{key} does not name a patient; {_GROUPS}")
        return patient


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


def _finer_than_names(keys: Mapping[str, Collection[str]]) -> tuple[int, int]:
    """As `CaseNotes.finer_than_names`, of the file names of each group.

    They say nothing where a group is called as its file, or where one begins without a number.
    """
    if len(keys) < FEW_GROUPS or any(len(own) > 1 or group in own for group, own in keys.items()):
        return 0, 0
    stems = [_ENDING.sub("", PurePosixPath(key).stem) for own in keys.values() for key in own]
    found = len(set(stems))
    told = all(re.search(r"\d", stem) for stem in stems)
    if not told or found > MOST_OF_NAMES * len(keys) or len(keys) > MOST_EACH * found:
        return 0, 0
    return found, len(keys)


_GROUPS = 'add a group column to cases.csv, or set group = "none"'
