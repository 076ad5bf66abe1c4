"""Arrays of an npz: never more than the header says, and no zip or header that lies."""

from __future__ import annotations

import io
import struct
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robust.cases.npz import load_array
from robust.errors import InputError

SHAPE = "(4, 28, 28)"


def npy(shape: str = SHAPE, data: bytes = bytes(4 * 28 * 28), kind: str = "|u1") -> bytes:
    """An npy file whose header says what it is told to."""
    head = f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x02\0" + struct.pack("<I", len(head)) + head + data


def pack(path: Path, content: bytes, name: str = "a.npy", method: int = 8) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(name, content)
    return path


def test_no_more_is_unpacked_than_the_header_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack(tmp_path / "bomb.npz", npy(data=bytes(50_000_000)))
    assert path.stat().st_size < 100_000
    made: list[Any] = []
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: made.append(io.BytesIO()) or made[-1])
    with pytest.raises(InputError, match=r"bomb\.npz .*another size than its header says"):
        load_array(path, "a")
    assert all(file.getbuffer().nbytes == 0 for file in made if not file.closed)


def test_an_honest_header_of_a_bomb_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack(tmp_path / "bomb.npz", npy("(30000, 1000)", bytes(30_000_000)))
    assert load_array(path, "a").shape == (30000, 1000)
    monkeypatch.setattr("robust.cases.npz.FREE_BYTES", 1 << 20)
    with pytest.raises(InputError, match="would unpack to 28 MiB, as no images do"):
        load_array(path, "a")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (npy("(-4, 28, -28)"), "another size"),
        (npy(f"({2**62}, 4)"), "another size"),
        (npy(f"({10**40},)"), "another size"),
        (npy("(4, 28)"), "another size"),
        (npy("(" + "0, " * 99 + ")", b""), "dimension"),
        (npy("4"), "shape"),
        (npy("(" * 500 + ")" * 500), "not an npz file"),
        (npy("(1, " + " " * 20_000 + ")"), "not an npz file"),
        (npy(kind="|O"), "holds Python objects"),
        (npy(kind="nonsense"), "not an npz file"),
        (b"\x93NUMPY\x09\0" + bytes(99), "not an npz file"),
        (b"", "not an npz file"),
    ],
)
def test_headers_that_lie(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(InputError, match=said):
        load_array(pack(tmp_path / "m.npz", content), "a")


def test_zips_that_lie(tmp_path: Path) -> None:
    whole = pack(tmp_path / "m.npz", npy()).read_bytes()
    assert load_array(tmp_path / "m.npz", "a").shape == (4, 28, 28)
    entry, end = whole.rindex(b"PK\x01\x02"), whole.rindex(b"PK\x05\x06")

    def changed(at: int, value: bytes) -> bytes:
        return whole[:at] + value + whole[at + len(value) :]

    for content, said in (
        (changed(entry + 8, b"\1"), "is encrypted"),
        (changed(entry + 10, b"\x0c"), "compressed in another way"),
        (changed(entry + 24, struct.pack("<I", 1 << 30)), "would unpack to 1024 MiB"),
        (changed(entry + 24, struct.pack("<I", 3000)), "not an npz file"),
        (changed(end + 12, struct.pack("<I", 1 << 30)), "lists too many"),
        (whole[:-30], "not an npz file"),
    ):
        (tmp_path / "bent.npz").write_bytes(content)
        with pytest.raises(InputError, match=said):
            load_array(tmp_path / "bent.npz", "a")
    with zipfile.ZipFile(tmp_path / "many.npz", "w") as archive:
        for number in range(1001):
            archive.writestr(f"{number}.npy", b"")
    with pytest.raises(InputError, match="lists too many"):
        load_array(tmp_path / "many.npz", "1")
    with zipfile.ZipFile(tmp_path / "folder.npz", "w") as archive:
        archive.writestr("a/", b"")
    with pytest.raises(InputError, match="has no array 'a'"):
        load_array(tmp_path / "folder.npz", "a")
    with pytest.raises(InputError, match="folder, not a file"):
        load_array(tmp_path, "a")


def test_members_that_overlap_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.npz", "w") as archive:
        archive.writestr("a.npy", npy())
        archive.writestr("b.npy", npy())
        archive.getinfo("b.npy").header_offset = 20
    with pytest.raises(InputError, match="overlap"):
        load_array(tmp_path / "m.npz", "a")


def test_the_order_of_memory_is_kept(tmp_path: Path) -> None:
    wanted = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    np.savez(tmp_path / "m.npz", a=np.asfortranarray(wanted), b=wanted)
    np.testing.assert_array_equal(load_array(tmp_path / "m.npz", "a"), wanted)
    np.testing.assert_array_equal(load_array(tmp_path / "m.npz", "b"), wanted)
