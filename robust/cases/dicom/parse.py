"""Parses the bytes of a DICOM file to a pydicom dataset, also where they break the standard.

Nothing that pydicom says leaves this module: its warnings and errors quote values, and a value may
be a patient's name.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import pydicom
from pydicom import config
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from robust.cases.formats import image_bytes
from robust.errors import InputError

MOST_BYTES = 1 << 29
"""Of a file, and of what a deflated one becomes: half a gibibyte."""
MAGIC = b"DICM"
PREAMBLE = 128
_quiet = threading.RLock()
T = TypeVar("T")


class Unreadable(Exception):
    """What is wrong with a file, in words that name nobody; becomes an InputError."""


def load_bytes(path: Path) -> bytes:
    """The bytes of a file; InputError where it is missing, too large, or cannot be read."""
    return image_bytes(path, MOST_BYTES)


def content_id(data: bytes) -> str:
    """Twelve hex digits that identify a file by its content."""
    return hashlib.sha256(data).hexdigest()[:12]


def parse(data: bytes, *, header: bool = False) -> Dataset:
    """A dataset whose `file_meta` names a transfer syntax; `header` stops before the pixels.

    Raises Unreadable. A missing preamble or file meta information is guessed at.
    """
    if data[PREAMBLE : PREAMBLE + 4] != MAGIC and not _looks_bare(data):
        raise Unreadable("is not a DICOM file")
    syntax, start = _meta(data)
    if syntax == DeflatedExplicitVRLittleEndian:
        data = _bare(ExplicitVRLittleEndian) + _inflate(data[start:])
    dataset = pydicom.dcmread(BytesIO(data), stop_before_pixels=header, force=True)
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        uid = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
        dataset.file_meta.TransferSyntaxUID = uid if little else ExplicitVRBigEndian
    return dataset


def is_deflated(data: bytes) -> bool:
    """Whether the data set is compressed with deflate."""
    return _meta(data)[0] == DeflatedExplicitVRLittleEndian


def with_input_errors(path: Path, work: Callable[[], T]) -> T:
    """The result of `work`; any error in it becomes an InputError without a cause or context."""
    try:
        with silence_pydicom():
            return work()
    except InputError:
        raise
    except Unreadable as error:
        wrong = str(error)
    except MemoryError:
        wrong = "needs more memory than there is"
    except Exception:  # noqa: BLE001  (a broken file fails in any way; its words may name a patient)
        wrong = "is broken or is not a DICOM image"
    # Raised outside the handlers, so that the library's error is not its context.
    raise InputError(f"{path} {wrong}; replace or remove it")


@contextlib.contextmanager
def silence_pydicom() -> Iterator[None]:
    """Suppress warnings and log lines of the libraries that read DICOM: both quote values."""
    loggers = [
        logging.getLogger(name) for name in ("pydicom", "pylibjpeg", "openjpeg", "imagecodecs")
    ]
    with _quiet, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        disabled = [logger.disabled for logger in loggers]
        mode = config.settings.reading_validation_mode
        try:
            for logger in loggers:
                logger.disabled = True
            config.settings.reading_validation_mode = config.IGNORE
            yield
        finally:
            config.settings.reading_validation_mode = mode
            for logger, before in zip(loggers, disabled, strict=True):
                logger.disabled = before


def _looks_bare(data: bytes) -> bool:
    """Without preamble: begins with an element of group 2 or 8, little or big endian."""
    return data[:2] in (b"\x02\x00", b"\x08\x00", b"\x00\x08") and len(data) >= 16


def _meta(data: bytes) -> tuple[str, int]:
    """The transfer syntax, if the file names one, and where its dataset begins."""
    at = PREAMBLE + 4 if data[PREAMBLE : PREAMBLE + 4] == MAGIC else 0
    syntax = ""
    while at + 8 <= len(data):
        group, element, kind, length = struct.unpack_from("<HH2sH", data, at)
        if group != 2:
            break
        at += 8
        if kind in (b"OB", b"UN", b"OW", b"UT", b"SQ"):
            if at + 4 > len(data):
                break
            (length,) = struct.unpack_from("<I", data, at)
            at += 4
        if element == 0x10:
            syntax = data[at : at + length].decode("ascii", "replace").strip("\0 ")
        at += length
    return syntax, min(at, len(data))


def _inflate(data: bytes) -> bytes:
    machine = zlib.decompressobj(-zlib.MAX_WBITS)
    found = machine.decompress(data, MOST_BYTES)
    if machine.unconsumed_tail:
        raise Unreadable(f"decompresses to more than {MOST_BYTES >> 20} MiB")
    if not machine.eof:
        raise Unreadable("is compressed (deflate) and incomplete")
    return found


def _bare(syntax: str) -> bytes:
    """A preamble and the least file meta information for a dataset to follow."""
    value = syntax.encode() + b"\0" * (len(syntax) % 2)
    return b"\0" * PREAMBLE + MAGIC + struct.pack("<HH2sH", 2, 0x10, b"UI", len(value)) + value
