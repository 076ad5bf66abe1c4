"""DICOM files that promise gigabytes are refused; thousands of damaged ones are in `tests/fuzz`."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from robust.cases.dicom.frame import Frame, read_dicom
from robust.errors import InputError
from tests.cases.dicoms import PACKED, make, ramp, save


def test_declarations_cost_no_memory(tmp_path: Path) -> None:
    """Rows, columns, frames and streams that promise gigabytes are refused before anything is made."""
    plain = save(make(ramp()), tmp_path / "a").read_bytes()
    files = []
    for rows, columns in ((65535, 65535), (8000, 8000), (65535, 300)):
        sized = _sized(plain, rows, columns)
        files.append(sized)
        packed = save(make(ramp()), tmp_path / "b", PACKED[1]).read_bytes()
        at = packed.index(b"\xff\x4f\xff\x51")
        packed = packed[: at + 8] + struct.pack(">II", columns, rows) + packed[at + 16 :]
        files += [packed, _sized(packed, rows, columns)]
        packed = save(make(ramp()), tmp_path / "d", PACKED[2]).read_bytes()
        at = packed.index(b"\xff\xf7")
        packed = packed[: at + 5] + struct.pack(">HH", rows, columns) + packed[at + 9 :]
        files += [packed, _sized(packed, rows, columns)]
    deflated = save(make(ramp()), tmp_path / "c", DeflatedExplicitVRLittleEndian).read_bytes()
    files.append(deflated[:-200] + b"\x00" * 200)
    tracemalloc.start()
    try:
        for data in files:
            (tmp_path / "x.dcm").write_bytes(data)
            with pytest.raises(InputError):
                read_dicom(Frame(tmp_path / "x.dcm"))
        assert tracemalloc.get_traced_memory()[1] < 300 << 20
    finally:
        tracemalloc.stop()


def _sized(data: bytes, rows: int, columns: int) -> bytes:
    for element, value in ((0x10, rows), (0x11, columns)):
        at = data.index(struct.pack("<HH2sH", 0x28, element, b"US", 2))
        data = data[: at + 8] + struct.pack("<H", value) + data[at + 10 :]
    return data
