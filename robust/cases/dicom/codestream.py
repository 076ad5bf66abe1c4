"""Size that a JPEG, JPEG 2000 or RLE stream declares, checked before it is decoded."""

from __future__ import annotations

import struct

from robust.cases.dicom.parse import Unreadable
from robust.cases.structure import Malformed, check_jpeg

MOST_TILES = 4096
FREE_SAMPLES, MOST_PER_BYTE = 1 << 20, 1000
"""A stream may declare so many samples, and so many more for each of its bytes. Images that show
anything take more; decoders fill in for what a broken stream lacks, however long that takes."""
_J2K = b"\xff\x4f\xff\x51"
_FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
"""JPEG markers that give the size; F7 is that of JPEG-LS."""


def check_codestream(code: bytes, rows: int, columns: int, samples: int) -> None:
    """Raises Unreadable where the stream is of another size than the header, or cut to pieces."""
    if code[:2] == b"\xff\xd8":
        found = _jpeg(code)
        try:
            check_jpeg(code)
        except Malformed as error:
            raise Unreadable(f"holds a JPEG image that is broken ({error})") from None
    elif code[:4] == _J2K or code[4:8] == b"jP  ":
        found = _j2k(code)
    else:
        return
    if found != (rows, columns, samples):
        raise Unreadable("holds an image of another size than its header says")
    if rows * columns * samples > FREE_SAMPLES + MOST_PER_BYTE * len(code):
        raise Unreadable(f"declares more pixels than {len(code)} bytes can hold")


def _jpeg(code: bytes) -> tuple[int, int, int]:
    at = 2
    while at + 4 <= len(code):
        if code[at] != 0xFF:
            raise Unreadable("holds a JPEG image that is broken")
        marker = code[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker in _FRAMES and at + 10 <= len(code):
            rows, columns, samples = struct.unpack_from(">HHB", code, at + 5)
            return rows, columns, samples
        at += 2 + struct.unpack_from(">H", code, at + 2)[0]
    raise Unreadable("holds a JPEG image that is broken")


def _j2k(code: bytes) -> tuple[int, int, int]:
    at = code.find(_J2K)
    if at < 0 or at + 44 > len(code):
        raise Unreadable("holds a JPEG 2000 image that is broken")
    right, bottom, left, top, wide, high, from_x, from_y = struct.unpack_from(">8I", code, at + 8)
    (samples,) = struct.unpack_from(">H", code, at + 40)
    if not wide or not high or (right - from_x) * (bottom - from_y) > MOST_TILES * wide * high:
        raise Unreadable("holds a JPEG 2000 image of too many tiles")
    return bottom - top, right - left, samples


def check_rle(code: bytes, length: int) -> None:
    """Raises Unreadable where a segment of RLE breaks off, or unpacks to more than `length` bytes.

    A segment may end in a byte of padding, and two bytes may become 128.
    """
    count, *offsets = struct.unpack_from("<16I", code.ljust(64, b"\0"))
    ends = [*offsets[1:count], len(code)]
    if not 1 <= count <= 15 or any(a > b for a, b in zip([64, *offsets], [*offsets[:1], *ends])):
        raise Unreadable("holds RLE pixels that are broken")
    for at, end in zip(offsets, ends):
        written = 0
        while at < end and written < length:
            head = code[at]
            step, made = (head + 2, head + 1) if head < 128 else (2, 257 - head)
            at, written = (at + step, written + made) if head != 128 else (at + 1, written)
        if at > len(code) or written < length or written > length + 128 or end - at > 64:
            raise Unreadable("holds RLE pixels that are broken")
