"""Chunks, segments, tags and blocks of image files, counted before a library walks them.

A library takes time and memory for each, in Python or for all pixels again, so that a small file of
very many of them hangs.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

MOST_CHUNKS = 1 << 17
"""Of a PNG; of the largest file that is read a chunk then has 2 kilobytes."""
MOST_SEGMENTS = 4096
"""Of a JPEG, before its pixels."""
MOST_SCANS = 32
"""Of a JPEG; a progressive one has about ten. Each goes over all pixels again."""
MOST_TAGS, MOST_VALUES = 4096, 1 << 17
"""Tags of a TIFF, and values in one of them, such as its strips or tiles."""
MOST_BLOCKS = 1 << 20
"""Of a GIF, up to its second frame; a full one has 255 bytes."""
_BYTES = (1, 2, 6, 7)
"""Types of tags that stay one string of bytes, such as a colour profile."""


class Malformed(Exception):
    """What is wrong with the structure of a file."""


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each chunk of a PNG, its kind and the whole of it; Malformed where one is broken."""
    at = 8
    for _ in range(MOST_CHUNKS):
        if at + 12 > len(data):
            raise Malformed("truncated")
        length, kind = struct.unpack_from(">I4s", data, at)
        whole = data[at : at + 12 + length]
        if len(whole) < 12 + length:
            raise Malformed("truncated")
        # Bit 5 of the first letter marks a chunk that a viewer may leave out.
        critical = not kind[0] & 32
        if critical and zlib.crc32(whole[4:-4]) != struct.unpack(">I", whole[-4:])[0]:
            raise Malformed("a checksum does not fit")
        yield kind, whole
        if kind == b"IEND":
            return
        at += 12 + length
    raise Malformed(f"more than {MOST_CHUNKS} chunks")


def check_jpeg(data: bytes) -> None:
    """Raises Malformed where a JPEG has very many segments or scans, or no end."""
    at = 2
    for _ in range(MOST_SEGMENTS):
        if at + 4 > len(data) or data[at] != 0xFF:
            raise Malformed("its segments cannot be followed")
        marker = data[at + 1]
        if marker == 0xDA:
            break
        alone = marker in (0x01, 0xFF) or 0xD0 <= marker <= 0xD8
        at += (1 if marker == 0xFF else 2) if alone else 2 + int.from_bytes(data[at + 2 : at + 4])
    else:
        raise Malformed(f"more than {MOST_SEGMENTS} segments")
    if data.count(b"\xff\xda", at) > MOST_SCANS:
        raise Malformed(f"more than {MOST_SCANS} scans")
    # Decoders fill in for what a cut stream lacks without a word.
    if data.find(b"\xff\xd9", at) < 0:
        raise Malformed("truncated")


def check_tiff(data: bytes) -> None:
    """Raises Malformed where the first directory of a TIFF has very many tags or values."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    counts, entry, size = ("Q", "HHQ", 20) if big else ("H", "HHI", 12)
    try:
        (at,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
        (tags,) = struct.unpack_from(order + counts, data, at)
        if tags > MOST_TAGS:
            raise Malformed(f"more than {MOST_TAGS} tags")
        at += struct.calcsize(order + counts)
        for place in range(at, at + tags * size, size):
            _, kind, count = struct.unpack_from(order + entry, data, place)
            if kind not in _BYTES and count > MOST_VALUES:
                raise Malformed(f"more than {MOST_VALUES} values in a tag")
    except (struct.error, OverflowError):
        raise Malformed("truncated") from None


def check_gif(data: bytes) -> None:
    """Raises Malformed where a GIF has very many blocks up to its second frame, or no end."""
    at = 13 + _palette(data[10:11])
    frames, blocks = 0, 0
    while frames < 2 and data[at : at + 1] != b"\x3b":
        if data[at : at + 1] == b"\x2c":
            frames += 1
            at += 11 + _palette(data[at + 9 : at + 10])
        elif data[at : at + 1] == b"\x21":
            at += 2
        else:
            raise Malformed("truncated" if at >= len(data) else "its blocks cannot be followed")
        while length := data[at] if at < len(data) else 0:
            at, blocks = at + 1 + length, blocks + 1
            if blocks > MOST_BLOCKS:
                raise Malformed(f"more than {MOST_BLOCKS} blocks")
        at += 1


def _palette(flags: bytes) -> int:
    """Bytes of the palette that follows a descriptor with these flags."""
    return 3 << ((flags[0] & 7) + 1) if flags and flags[0] & 128 else 0


def webp_size(data: bytes) -> tuple[int, int]:
    """Width and height as the header of a WebP says them; Malformed where it does not."""
    kind, body = data[12:16], data[20:30]
    if len(body) == 10 and kind == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if len(body) == 10 and kind == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", body[6:10])
        return width & 0x3FFF, height & 0x3FFF
    if len(body) == 10 and kind == b"VP8L" and body[0] == 0x2F:
        packed = int.from_bytes(body[1:5], "little")
        return 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF)
    raise Malformed("its header cannot be followed")
