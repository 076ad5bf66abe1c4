"""Atomic writes: the whole new file, or the old one; nothing beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from robust.files import replacing, write_atomically


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_atomically(path, "first\n")
    write_atomically(path, "zweite \u00fc\n")
    assert path.read_bytes() == "zweite \u00fc\n".encode()
    write_atomically(path, b"\x00\r\n")
    assert path.read_bytes() == b"\x00\r\n"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_failure_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_atomically(path, "old")
    with pytest.raises(ZeroDivisionError), replacing(path) as partial:
        partial.write_text("half")
        assert path.read_text() == "old"
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "new") as partial:
        pass  # nothing was written
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_too_and_over_an_empty_one(tmp_path: Path) -> None:
    place = tmp_path / "folder"
    place.mkdir()
    with replacing(place) as partial:
        partial.mkdir()
        (partial / "a").write_text("x")
    assert [p.name for p in place.iterdir()] == ["a"]
    with pytest.raises(OSError), replacing(place) as partial:
        partial.mkdir()
    assert [p.name for p in place.iterdir()] == ["a"]
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_a_long_name_fits(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 250)
    write_atomically(path, "x")
    assert path.exists()
