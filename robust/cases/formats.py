"""File formats by suffix and by their first bytes; a leaf that imports no reader."""

from __future__ import annotations

from pathlib import Path

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
"""Of image files that are not DICOM."""
DICOM_SUFFIXES = (".dcm", ".dicom", ".dic", ".ima")


def is_image(path: Path) -> bool:
    """Whether a file is an image by its suffix; DICOM and hidden files are not."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its suffix, or, with an unknown suffix, by its first bytes."""
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
