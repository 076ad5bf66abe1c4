"""File formats by suffix and by first bytes, and the largest files and images that are read.

A leaf that imports no reader.
"""

from __future__ import annotations

from pathlib import Path

from robust.cases.walk import file_size
from robust.errors import InputError, excerpt
from robust.files import cannot, open_regular, read_bytes

SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".pjpeg", ".pjp", ".mpo"),
    *(".tif", ".tiff", ".bmp", ".webp", ".gif"),
)
"""Of image files that are not DICOM."""
READ = "PNG, JPEG, TIFF, BMP, WebP, GIF and DICOM"
"""The formats that are read, for messages."""
NIFTI_SUFFIXES = (".nii", ".nii.gz")
"""Of volumes, which a table names; among class folders they are left out."""
DICOM_SUFFIXES = (".dcm", ".dicom", ".dic", ".ima")
MOST_SAMPLES = 80_000_000
"""Pixels times channels of one image, whatever its format: a colour photograph of 26 megapixels or
a scan of 80 fits. Each takes several bytes while it is decoded and shown."""
DOWNSAMPLE = "downsample it, or cut it into smaller images, first"
SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"BM": "BMP",
    b"GIF8": "GIF",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"%PDF": "PDF",
    b"%!PS": "PostScript",
    b"\xc5\xd0\xd3\xc6": "PostScript",
    b"8BPS": "Photoshop",
    b"SIMPLE": "FITS",
    b"\xd7\xcd\xc6\x9a": "Windows metafile",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\x89HDF": "HDF5",
    b"\x93NUMPY": "NumPy",
    b"PK\x03\x04": "zip",
    b"\x1f\x8b": "gzip",
    b"<svg": "SVG",
    b"<?xml": "XML",
    b"<!DOC": "HTML",
    b"<html": "HTML",
    b"\0\0\1\0": "ICO",
}
OTHER_SUFFIXES = (
    *(".heic", ".heif", ".hif", ".avif", ".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jxl", ".jls"),
    *(".pgm", ".ppm", ".pnm", ".pbm", ".tga", ".ico", ".psd", ".svg", ".exr", ".hdr", ".fits"),
    *(".cr2", ".nef", ".arw", ".dng", ".raw", ".svs", ".ndpi", ".mrxs", ".czi", ".lif", ".apng"),
    *(".nrrd", ".nhdr", ".mha", ".mhd", ".npy", ".npz", ".mat", ".pdf", ".eps"),
)
"""Of files that hold images or volumes in formats that are not read."""
NO_IMAGES = ("zip", "gzip", "XML", "HTML", "PostScript", "HDF5")
"""Formats told by `format_name` whose files are rather no images."""
SMALL_HEAD = 132
"""Bytes that tell the format: a DICOM file says so behind a preamble of 128."""


def is_image(path: Path) -> bool:
    """Whether a file is an image by its suffix; DICOM and hidden files are not."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def is_nifti(path: Path) -> bool:
    """Whether a file is a NIfTI volume by its suffix."""
    return path.name.lower().endswith(NIFTI_SUFFIXES)


def is_left_image(path: Path) -> bool:
    """Whether a file that is read neither as an image nor as DICOM may hold one all the same.

    Its suffix or its first bytes say so: a HEIF file, a volume, a JPEG under another suffix. Hidden
    files do not count, nor do files of the operating system. InputError where it may not be read.
    """
    if path.name.startswith(".") or path.name.lower() in _OF_SYSTEMS or file_size(path) is None:
        return False
    if path.suffix.lower() in OTHER_SUFFIXES or is_nifti(path):
        return True
    with open_regular(path) as file:
        try:
            head = file.read(SMALL_HEAD)
        except OSError as error:
            raise InputError(cannot(path, "be read", error)) from None
    return format_name(head) not in (None, "DICOM", *NO_IMAGES)


_OF_SYSTEMS = ("thumbs.db", "desktop.ini", "icon\r", "ehthumbs.db", "dicomdir")


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its suffix, or, with an unknown suffix, by its first bytes.

    InputError where it may not be read: it may be an image, which must not be left out.
    """
    suffix = path.suffix.lower()
    if suffix in SUFFIXES or is_nifti(path) or path.name.startswith("."):
        return False
    if path.name.upper() == "DICOMDIR":
        return False
    if suffix in DICOM_SUFFIXES:
        return True
    if file_size(path) is None:
        return False
    with open_regular(path) as file:
        try:
            return file.read(SMALL_HEAD)[128:] == b"DICM"
        except OSError as error:
            raise InputError(cannot(path, "be read", error)) from None


def format_name(data: bytes) -> str | None:
    """The format that the first bytes of a file tell, such as `PNG` or `DICOM`; None if unknown."""
    for start, name in SIGNATURES.items():
        if data.startswith(start):
            return name
    if data[128:SMALL_HEAD] == b"DICM":
        return "DICOM"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    return "HEIF or AVIF" if data[4:8] == b"ftyp" else None


def image_bytes(path: Path, most: int) -> bytes:
    """The content of an image file; InputError where it is missing, odd or too large."""
    try:
        size = path.stat().st_size
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise InputError(
            f"no such image: {excerpt(path, 300)}; fix the path or remove its row"
        ) from None
    except OSError as error:
        raise InputError(cannot(path, "be read", error)) from None
    if size > most:
        raise InputError(f"{excerpt(path, 300)} is larger than {most >> 20} MiB; {DOWNSAMPLE}")
    return read_bytes(path, most)
