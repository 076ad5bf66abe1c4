"""Reads one array of an npz file, mapped from an unpacked copy: no larger than its header says.

An npz is a zip of npy files (numpy.lib.format); numpy's own reader unpacks whatever there is.
"""

from __future__ import annotations

import itertools
import math
import tempfile
import zipfile
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from robust.errors import InputError, did_you_mean, first_line
from robust.files import cannot, open_regular

MOST_MEMBERS = 1000
MOST_DIRECTORY = 1 << 20
"""Bytes of the list of members, which zipfile reads into memory."""
FREE_BYTES, MOST_RATIO = 1 << 28, 200
"""An array may unpack to so many bytes, and to so many more for each that it takes in the file."""
MOST_HEADER = 10_000
"""Characters of an npy header: numpy hands it to Python's parser."""
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_END, _END64 = b"PK\x05\x06", b"PK\x06\x06"


def load_array(path: Path, name: str) -> np.ndarray[Any, Any]:
    """The array of this name; InputError where there is none, it is broken, or it is no array."""
    with open_regular(path) as file:
        try:
            return _load(file, path.name, name)
        except InputError:
            raise
        except OSError as error:
            raise InputError(cannot(path, "be unpacked to the temporary folder", error)) from None
        except MemoryError:
            wrong = "it needs more memory than there is"
        except Exception as error:  # noqa: BLE001  (a broken zip or header fails in any way)
            wrong = first_line(error)
    raise InputError(f"{path} is not an npz file that can be read: {wrong}")


def _load(file: IO[bytes], source: str, name: str) -> np.ndarray[Any, Any]:
    _check_directory(file)
    with zipfile.ZipFile(file) as archive, tempfile.TemporaryFile() as unpacked:
        member = _member(archive, source, name)
        with archive.open(member) as packed:
            shape, fortran, dtype = _header(packed)
            if dtype.hasobject:
                raise InputError(f"{source}: {name} holds Python objects; save plain numbers")
            start = packed.tell()
            size = math.prod(shape) * dtype.itemsize
            if any(n < 0 for n in shape) or start + size != member.file_size:
                raise ValueError(f"{name} is of another size than its header says")
            left = size
            while left and (block := packed.read(min(left, 1 << 20))):
                unpacked.write(block)
                left -= len(block)
            if left or packed.read(1):
                raise ValueError(f"{name} is of another size than its header says")
        unpacked.flush()
        order: Literal["F", "C"] = "F" if fortran else "C"
        if not size:
            return np.empty(shape, dtype, order)
        # The map has a handle of its own, so that the file may be closed here.
        return np.memmap(unpacked, dtype, "r", 0, shape, order)


def _check_directory(file: IO[bytes]) -> None:
    """ValueError where the list of members is longer than that of any npz of ours."""
    end = file.seek(0, 2)
    file.seek(max(0, end - (1 << 16) - 22))
    tail = file.read()
    at = tail.rfind(_END)
    size = int.from_bytes(tail[at + 12 : at + 16], "little") if at >= 0 else 0
    wide = tail.rfind(_END64)
    if wide >= 0:
        size = max(size % 0xFFFFFFFF, int.from_bytes(tail[wide + 40 : wide + 48], "little"))
    if size > MOST_DIRECTORY:
        raise ValueError("it lists too many arrays")
    file.seek(0)


def _member(archive: zipfile.ZipFile, source: str, name: str) -> zipfile.ZipInfo:
    """The packed array, checked as far as the list of members tells."""
    members = archive.infolist()
    if len(members) > MOST_MEMBERS:
        raise ValueError("it lists too many arrays")
    names = [member.filename.removesuffix(".npy") for member in members]
    found = [member for member in members if member.filename == f"{name}.npy"]
    if not found:
        raise InputError(f"{source} has no array {name!r}; {did_you_mean(name, names)}")
    if len(found) > 1:
        raise ValueError(f"it has two arrays {name!r}")
    (member,) = found
    if member.flag_bits & 1:
        raise ValueError(f"{name} is encrypted")
    if member.compress_type not in METHODS:
        raise ValueError(f"{name} is compressed in another way than npz files are")
    places = sorted((m.header_offset, m.compress_size) for m in members)
    if any(a + size > b for (a, size), (b, _) in itertools.pairwise(places)):
        raise ValueError("its arrays overlap")
    if member.file_size > FREE_BYTES + MOST_RATIO * member.compress_size:
        raise ValueError(f"{name} would unpack to {member.file_size >> 20} MiB, as no images do")
    return member


def _header(packed: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran's order, and type."""
    version = np.lib.format.read_magic(packed)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[version]
    shape, fortran, dtype = read(packed, max_header_size=MOST_HEADER)
    return shape, fortran, dtype
