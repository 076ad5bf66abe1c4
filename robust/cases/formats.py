"""File formats by suffix and by their first bytes; a leaf that imports no reader."""

from __future__ import annotations

from pathlib import Path

from robust.cases.walk import file_size
from robust.errors import InputError
from robust.files import cannot, open_regular

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
"""Of image files that are not DICOM."""
DICOM_SUFFIXES = (".dcm", ".dicom", ".dic", ".ima")


def is_image(path: Path) -> bool:
    """Whether a file is an image by its suffix; DICOM and hidden files are not."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its suffix, or, with an unknown suffix, by its first bytes.

    InputError where it may not be read: it may be an image, which must not be left out.
    """
    suffix = path.suffix.lower()
    if suffix in SUFFIXES or path.name.startswith(".") or path.name.upper() == "DICOMDIR":
        return False
    if suffix in DICOM_SUFFIXES:
        return True
    if file_size(path) is None:
        return False
    with open_regular(path) as file:
        try:
            return file.read(132)[128:] == b"DICM"
        except OSError as error:
            raise InputError(cannot(path, "be read", error)) from None
