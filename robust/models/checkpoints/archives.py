"""Checks a model file before torch reads it: a regular file, a whole archive, and no bomb."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

from robust.errors import InputError, excerpt, type_and_line
from robust.files import open_regular
from robust.models.checkpoints.inert import Inert

MOST_UNPACKED = 64 << 20
"""Bytes that the compressed parts of an archive may hold: torch compresses source code alone."""
_BLOCK = 1 << 20
_PICKLES = ("/data.pkl", "/constants.pkl")
_ITEM_BYTES = {
    **dict.fromkeys(("DoubleStorage", "LongStorage", "ComplexFloatStorage"), 8),
    **dict.fromkeys(("FloatStorage", "IntStorage"), 4),
    **dict.fromkeys(("HalfStorage", "BFloat16Storage", "ShortStorage"), 2),
    "ComplexDoubleStorage": 16,
}
"""Bytes of one value; at least one of every other type."""


def check_archive(path: Path, again: str) -> bool:
    """Whether a file is a zip archive, as torch writes them; InputError where one is damaged.

    Every part is read and its checksum compared, since torch reads weights without: flipped bits
    would be another network. `again` says how to write such a file anew. InputError as well for
    what is no regular file.
    """
    with open_regular(path) as file:
        if file.read(4) != b"PK\x03\x04":
            return False
        try:
            with zipfile.ZipFile(file) as archive:
                _check_parts(archive)
        except Exception as error:  # noqa: BLE001  (a broken one raises of every kind)
            raise InputError(
                f"{excerpt(path, 300)} is damaged ({type_and_line(error)}); copy it again, or "
                f"{again}"
            ) from None
    return True


def _check_parts(archive: zipfile.ZipFile) -> None:
    """Raises ValueError or what zipfile raises."""
    parts = archive.infolist()
    if len({part.filename for part in parts}) != len(parts):
        raise ValueError("two parts have one name")
    packed = [part for part in parts if part.compress_type != zipfile.ZIP_STORED]
    if any(part.compress_type != zipfile.ZIP_DEFLATED for part in packed):
        raise ValueError("an unknown compression")
    if sum(part.file_size for part in packed) > MOST_UNPACKED:
        raise ValueError(f"its compressed parts hold more than {MOST_UNPACKED >> 20} MiB")
    for part in parts:
        with archive.open(part) as content:
            while content.read(_BLOCK):
                pass
    scripted = any("/code/" in part.filename for part in parts)
    for part in parts:
        if part.filename.endswith(_PICKLES) and part.file_size <= MOST_UNPACKED:
            _check_storages(archive, part.filename, scripted)


def _check_storages(archive: zipfile.ZipFile, name: str, scripted: bool) -> None:
    """ValueError where a tensor is longer than the part that holds it.

    The reader of TorchScript is C++, which trusts the lengths and ends the process.
    """
    reader = _StorageReader(io.BytesIO(archive.read(name)))
    try:
        reader.load()
    except Exception:
        if scripted:
            raise
        return  # of weights, whose reader is Python and says what is wrong
    root = name.rpartition("/")[0]
    folders = ("data", "constants", "tensors")
    sizes = {part.filename: part.file_size for part in archive.infolist()}
    for kind, key, count in reader.storages:
        held = [sizes[at] for f in folders if (at := f"{root}/{f}/{key}") in sizes]
        if not held or count < 0 or count * _ITEM_BYTES.get(kind, 1) > max(held):
            raise ValueError(f"the values of a tensor are missing: {excerpt(key)}")


class _StorageReader(pickle._Unpickler):  # type: ignore[misc,name-defined]
    """Finds the storages of a pickle and runs nothing of it.

    It is the unpickler in Python: that in C takes memory by an index in the file.
    """

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.storages: list[tuple[str, str, int]] = []
        """Type, key and number of values."""

    def find_class(self, module: str, name: str) -> type:
        """A type of that name which does nothing."""
        return type(str(name).rpartition(".")[2] or "_", (Inert,), {})

    def persistent_load(self, pid: Any) -> Inert:
        """A storage: `("storage", type, key, device, number of values)`."""
        if isinstance(pid, tuple) and len(pid) == 5 and isinstance(pid[4], int):
            self.storages.append((getattr(pid[1], "__name__", ""), str(pid[2]), pid[4]))
        return Inert()
