"""File formats by suffix and by first bytes."""

from __future__ import annotations

from pathlib import Path

from robust.cases.images import SUFFIXES

DICOM_SUFFIXES = (".dcm", ".dicom", ".dic", ".ima")


def is_dicom(path: Path) -> bool:
    """By its suffix, or, where it has none that is known, by what the file begins with."""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES or path.name.startswith(".") or path.name.upper() == "DICOMDIR":
        return False
    if suffix in DICOM_SUFFIXES:
        return True
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False
