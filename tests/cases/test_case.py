"""`Cases`: what is read and how, fingerprints, reading ahead."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from robust.cases import Cases, open_cases
from robust.cases.case import Entry
from robust.errors import InputError
from tests.cases.tables import write_table


def test_size_and_grey_change_what_is_read(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 6, 3)).astype(np.uint8)
    (tmp_path / "x").mkdir()
    Image.fromarray(pixels).save(tmp_path / "x" / "a.png")
    grey = open_cases(tmp_path, group="none", grey=True)[0].image
    wanted = (pixels / 255) @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(grey[0].numpy(), wanted, atol=1e-6)
    assert open_cases(tmp_path, group="none", size=5)[0].image.shape[1:] == (5, 5)
    small = open_cases(tmp_path, group="none", size=(4, 3))[0].image
    assert small.shape == (3, 4, 3) and small.min() >= 0 and small.max() <= 1
    same = open_cases(tmp_path, group="none", size=(8, 6))[0].image
    assert torch.equal(same, open_cases(tmp_path, group="none")[0].image)


def test_slices_are_cases(tmp_path: Path) -> None:
    cases = open_cases("phantom:chest_xray", count=8, pixels=28)
    assert [c.id for c in cases[2:6:2]] == [cases[2].id, cases[4].id]
    assert cases[-1].id == cases[7].id
    assert isinstance(cases[1:3], Cases)
    with pytest.raises(IndexError):
        cases[8]


def test_the_fingerprint_tells_sets_apart(tmp_path: Path) -> None:
    write_table(tmp_path)
    base = open_cases(tmp_path)
    assert base.fingerprint() == open_cases(tmp_path).fingerprint()
    others = [
        open_cases(tmp_path, group="none"),
        open_cases(tmp_path, split="all"),
        open_cases(tmp_path, subgroups=("site",)),
        open_cases(tmp_path, grey=True),
        open_cases(tmp_path, size=(3, 3)),
        open_cases(tmp_path, classes=("p", "q", "r")),
        base[::-1],
    ]
    prints = {base.fingerprint(), *(other.fingerprint() for other in others)}
    Image.new("L", (50, 40), 3).save(tmp_path / "b" / "scan3.png")
    prints.add(open_cases(tmp_path).fingerprint())
    assert len(prints) == len(others) + 2


def test_the_content_is_that_of_the_file(tmp_path: Path) -> None:
    """A file of the same name, size and time is noticed; the rest of the set stays as it was."""
    cases = open_cases(write_table(tmp_path))
    before = [cases.content(i) for i in range(len(cases))]
    path = tmp_path / "b" / "scan3.png"
    assert before[2] == hashlib.sha256(path.read_bytes()).hexdigest()
    state, content = path.stat(), bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    after = [cases.content(i) for i in range(len(cases))]
    assert [a == b for a, b in zip(after, before)] == [True, True, False]
    path.unlink()
    with pytest.raises(InputError, match=r"scan3\.png cannot be read: there is no such file"):
        cases.content(2)


def test_the_content_of_cases_without_files() -> None:
    """That of invented pixels is their hash, that of drawn ones what they are drawn from."""

    def read(row: int) -> npt.NDArray[Any]:
        return np.full((2, 3) if row < 2 else (3, 2), max(row, 1), np.uint8 if row < 3 else "u2")

    entries = tuple(Entry(str(i), 0, str(i), {}, i) for i in range(4))
    invented = Cases("invented", ("a", "b"), entries, read)
    assert invented.content(0) == invented.content(1)
    assert len({invented.content(i) for i in range(4)}) == 3, "values, shape and type count"

    def drawn(**options: Any) -> list[str]:
        cases = open_cases("phantom:fundus", count=4, **options)
        return [cases.content(i) for i in range(4)]

    first = drawn()
    assert len(set(first)) == 4 and first == drawn()
    assert not set(first) & {*drawn(pixels=65), *drawn(seed=1), *drawn(split="val")}


class Shelf:
    """A reader of invented pixels that counts what is asked of it."""

    def __init__(self, *broken: int) -> None:
        self.broken = broken
        self.reads = 0

    def __call__(self, row: int) -> npt.NDArray[np.uint8]:
        self.reads += 1
        if row in self.broken:
            raise InputError(f"row {row} is broken")
        return np.full((6, 6), row % 256, np.uint8)

    def cases(self, n: int) -> Cases:
        entries = tuple(Entry(str(i), i % 2, str(i), {}, i) for i in range(n))
        return Cases("invented", ("a", "b"), entries, self)


def test_a_stream_keeps_the_order_and_puts_errors_in_their_place() -> None:
    rows = [5, 2, 77, 2, 40, 99, 0, *range(50, 90)]
    found = list(Shelf(77, 0).cases(100).stream(rows))
    assert len(found) == len(rows)
    for row, case in zip(rows, found):
        if row in (77, 0):
            assert isinstance(case, InputError) and str(case) == f"row {row} is broken"
        else:
            assert not isinstance(case, InputError)
            assert case.id == str(row) and torch.all(case.image == row / 255)


def test_another_error_of_a_reader_is_not_swallowed() -> None:
    def read(row: int) -> npt.NDArray[np.uint8]:
        raise ZeroDivisionError

    cases = Cases("invented", ("a", "b"), (Entry("0", 0, "0", {}, 0),), read)
    with pytest.raises(ZeroDivisionError):
        list(cases.stream([0]))


def test_an_empty_stream_ends() -> None:
    assert list(Shelf().cases(3).stream([])) == []


def test_a_stream_reads_ahead_no_more_than_told() -> None:
    shelf = Shelf()
    stream = shelf.cases(500).stream(range(500), ahead=8)
    most = 0
    for taken, _ in enumerate(stream):
        most = max(most, shelf.reads - taken)
    assert shelf.reads == 500
    assert most <= 8


def peak_while_streaming(n: int) -> int:
    """Bytes that Python and numpy hold at most, and whatever images pile up with them."""
    import tracemalloc

    cases = Shelf().cases(n)
    tracemalloc.start()
    try:
        for case in cases.stream(range(n)):
            del case
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_number_of_cases() -> None:
    few, many = peak_while_streaming(500), peak_while_streaming(8_000)
    # One kept object a case, an Entry's worth of 100 bytes, would add 750 kilobytes.
    assert many < few + 300_000


def test_the_index_of_many_cases_is_small() -> None:
    import tracemalloc

    tracemalloc.start()
    try:
        cases = Shelf().cases(20_000)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(cases) == 20_000
    assert held < 500 * 20_000, "bytes a case"
