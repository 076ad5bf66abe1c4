"""Repair of a damaged write-ahead log (https://sqlite.org/fileformat2.html#walformat).

A run that was killed has its last chunks there. SQLite leaves out, without a word, all that follows
the first frame whose checksum is wrong.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from pathlib import Path

from robust.files import create_private, replacing

_HEADER, _FRAME, _PAGE = 32, 24, 4096
_MAGIC, _VERSION = 0x377F0682, 3007000
_SAME = 3
"""Bits in which two salts may differ and still be meant to be the same."""


def mend_log(log: Path) -> bool:
    """Give the frames of a log the right checksums, where they are wrong; whether they were.

    What the frames hold is verified afterwards, chunk by chunk, like the rest of the database.
    Where the log is whole, or was only cut short within a transaction, it stays as it is.
    """
    if not log.exists() or log.stat().st_size < _HEADER + _FRAME + _PAGE:
        return False
    content = bytearray(log.read_bytes())
    mended = _mended(content)
    if mended == content[: len(mended)]:
        return False
    with replacing(log) as partial:
        create_private(partial)
        partial.write_bytes(mended)
    return True


def _mended(content: bytearray) -> bytearray:
    """The log up to its last transaction, with the header and the checksums that belong to it."""
    size = _FRAME + _PAGE
    starts = range(_HEADER, len(content) - size + 1, size)
    header = bytes(content[:_HEADER])
    if header != _header(header):
        # The first salts that two frames share can stand in for those that were damaged.
        found = [bytes(content[start + 8 : start + 16]) for start in starts]
        shared = (one for one, other in pairwise(found) if one == other and any(one))
        salts = next(shared, found[0])
        header = _header(header[:12] + b"\0\0\0\0" + salts + header[24:])
    salts = header[16:24]
    ours = [start for start in starts if _same(bytes(content[start + 8 : start + 16]), salts)]
    ends = [start for start in ours if any(content[start + 4 : start + 8])]
    if not ends:
        return content
    order = ">" if header[3] & 1 else "<"
    new = bytearray(header)
    total = struct.unpack(">II", header[24:32])
    for start in range(_HEADER, ends[-1] + 1, size):
        if not any(content[start : start + 4]):
            continue  # there is no page 0: SQLite would stop here
        page = content[start + _FRAME : start + size]
        total = _checksum(bytes(content[start : start + 8] + page), total, order)
        new += content[start : start + 8] + salts + struct.pack(">II", *total) + page
    return new


def _header(header: bytes) -> bytes:
    """What a header must be: its magic number, version and page size, its salts, its checksum."""
    magic = _MAGIC | (header[3] & 1)
    first = struct.pack(">III", magic, _VERSION, _PAGE) + header[12:24]
    total = _checksum(first, (0, 0), ">" if magic & 1 else "<")
    return first + struct.pack(">II", *total)


def _same(one: bytes, other: bytes) -> bool:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count() <= _SAME


def _checksum(content: bytes, total: tuple[int, ...], order: str) -> tuple[int, int]:
    a, b = total
    for x, y in struct.iter_unpack(f"{order}II", content):
        a = (a + x + b) & 0xFFFFFFFF
        b = (b + y + a) & 0xFFFFFFFF
    return a, b
