"""DICOM header: number of frames, and the patient as a pseudonym; finds files by SOP instance."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset

from robust.cases.dicom.frame import layout
from robust.cases.dicom.parse import (
    Unreadable,
    content_id,
    is_deflated,
    load_bytes,
    parse,
    with_input_errors,
)
from robust.cases.pseudonyms import pseudonym
from robust.cases.walk import file_size, walk_files
from robust.errors import InputError
from robust.files import open_regular

MOST_FILES = 1_000_000


@dataclass(frozen=True, slots=True)
class Header:
    """What the index of a data set needs of a DICOM file."""

    id: str
    """By the file's content."""
    patient: str | None
    """A pseudonym; None where the file names no patient."""
    frames: int
    size: int


def read_header(path: Path, salt: bytes) -> Header:
    """The header of a file; InputError where it is missing.

    A broken file counts as one frame without a patient: reading its pixels says later what is
    wrong, where broken images can be skipped.
    """
    data = load_bytes(path)
    name = content_id(data)

    def work() -> Header:
        dataset = parse(data, header=True)
        # The inflated size is unknown here: zlib expands one byte to at most 1032.
        frames = layout(dataset, 1032 * len(data) if is_deflated(data) else len(data)).frames
        return Header(name, _patient(dataset, salt), frames, len(data))

    try:
        return with_input_errors(path, work)
    except InputError:
        return Header(name, None, 0, len(data))


def _patient(dataset: Dataset, salt: bytes) -> str | None:
    number = str(dataset.get("PatientID") or "").strip()
    if not number:
        return None
    issuer = str(dataset.get("IssuerOfPatientID") or "").strip()
    return pseudonym(f"{issuer}\\{number}", salt)


def by_uid(root: Path, directory: Path | None) -> dict[str, Path]:
    """The files below a folder by SOP instance: from its DICOMDIR, or by reading each file."""
    if directory is not None:
        return _listed(directory)
    from robust.cases.formats import is_dicom

    found: dict[str, Path] = {}
    for count, path in enumerate(walk_files(root)):
        if count >= MOST_FILES:
            raise InputError(f"{root} holds more than {MOST_FILES} files; name them in cases.csv")
        if is_dicom(path) and file_size(path) is not None:
            open_regular(path).close()  # one that may not be read is not passed over as broken
            try:
                uid = with_input_errors(path, lambda p=path: _uid(p))  # type: ignore[misc]
            except InputError:
                continue  # a table that names it is refused where it is read
            found.setdefault(uid, path)
    return found


def _uid(path: Path) -> str:
    return str(parse(load_bytes(path), header=True).get("SOPInstanceUID") or "").strip()


def _listed(directory: Path) -> dict[str, Path]:
    """The images that a DICOMDIR refers to; one that leads out of its folder is refused."""
    root = directory.parent

    def work() -> dict[str, Path]:
        found: dict[str, Path] = {}
        for record in parse(load_bytes(directory)).get("DirectoryRecordSequence") or []:
            parts = record.get("ReferencedFileID")
            uid = str(record.get("ReferencedSOPInstanceUIDInFile") or "").strip()
            if not parts or not uid:
                continue
            names = [parts] if isinstance(parts, str) else [str(part) for part in parts]
            if any(n in ("", ".", "..") or "/" in n or "\\" in n or "\0" in n for n in names):
                raise Unreadable("refers to files outside its folder")
            found.setdefault(uid, root.joinpath(*names))
        return found

    return with_input_errors(directory, work)
