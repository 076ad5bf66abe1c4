"""Broken DICOM files end in one InputError, soon and in little memory; thousands of them in
`experiments/storage/fuzz.py`.
"""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from experiments.storage import fuzz
from tests.cases.dicoms import NATIVE, PACKED, make, ramp, save


def sources(tmp_path: Path) -> list[bytes]:
    colour = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    window = {"WindowCenter": 900, "WindowWidth": 700}
    made = [save(make(ramp(), **window), tmp_path / s, s) for s in (*NATIVE, *PACKED)]
    made += [
        save(make(colour, 8), tmp_path / f"{s}c", s) for s in (ExplicitVRLittleEndian, *PACKED)
    ]
    frames = make(np.stack([ramp()] * 3), frames=3)
    return [path.read_bytes() for path in (*made, save(frames, tmp_path / "frames"))]


def test_mutants_are_read_or_refused(tmp_path: Path) -> None:
    counts, finds, _, _ = fuzz.fuzz(sources(tmp_path), 200, seed=3, workers=1)
    assert not finds
    assert counts["read"] > 20 and counts["refused"] > 50
    assert counts.total() == 200


def test_mutants_are_the_same_by_seed_and_number(tmp_path: Path) -> None:
    files = sources(tmp_path)
    assert fuzz.make(files, 7, 1) == fuzz.make(files, 7, 1) != fuzz.make(files, 7, 2)


def test_the_fuzzer_sees_crashes_hangs_and_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """In workers that do as a mutant says, so that silence above means something."""
    monkeypatch.setattr(fuzz, "SECONDS", 1.0)
    monkeypatch.setattr(fuzz, "_work", _obey)
    monkeypatch.setattr(fuzz, "make", lambda sources, number, seed: sources[number])
    counts, finds, _, _ = fuzz.fuzz([b"read", b"die", b"hang", b"fail"], 4, 0, workers=1)
    assert [(number, kind) for number, kind, _ in finds] == [
        (1, "crash"),
        (2, "slow"),
        (3, "error"),
    ]
    assert counts["read"] == 1


def _obey(pipe: Any, folder: str) -> None:
    pipe.send("ready")
    while (order := pipe.recv()) is not None:
        if order == b"die":
            os._exit(11)
        if order == b"hang":
            time.sleep(60)
        pipe.send(("error" if order == b"fail" else "read", "", 0.0, 0))


def test_declarations_cost_no_memory(tmp_path: Path) -> None:
    """Rows, columns, frames and streams that promise gigabytes are refused before anything is made."""
    import tracemalloc

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
            kind, said = fuzz.attempt(tmp_path / "x.dcm")
            assert kind == "refused", said
        assert tracemalloc.get_traced_memory()[1] < 300 << 20
    finally:
        tracemalloc.stop()


def _sized(data: bytes, rows: int, columns: int) -> bytes:
    for element, value in ((0x10, rows), (0x11, columns)):
        at = data.index(struct.pack("<HH2sH", 0x28, element, b"US", 2))
        data = data[: at + 8] + struct.pack("<H", value) + data[at + 10 :]
    return data
