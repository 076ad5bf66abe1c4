"""Atomic writes: the whole new file, or the old one; nothing beside it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from robust.errors import InputError
from robust.files import (
    cannot,
    make_private_folder,
    read_bytes,
    read_text,
    replacing,
    write_atomically,
)


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


def test_what_is_no_regular_file_is_refused_in_one_line(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, word in (
        (tmp_path / "pipe", "pipe"),
        (Path("/dev/zero"), "device"),
        (tmp_path, "folder"),
        (tmp_path / "missing", "no such file"),
        (tmp_path / ("x" * 300), "too long"),
        (tmp_path / "pipe" / "below", "a part of its path is a file"),
        (Path("a\0b"), "null"),
    ):
        with pytest.raises(InputError, match=word):
            read_bytes(path, 100)


def test_a_file_is_read_up_to_a_size(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"x" * 100)
    assert read_bytes(path, 100) == b"x" * 100
    with pytest.raises(InputError, match="larger than 99 bytes"):
        read_bytes(path, 99)


def test_text_is_utf8(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"\xef\xbb\xbfa")
    assert read_text(path) == "a"
    path.write_bytes(b"\xff\xfea")
    with pytest.raises(InputError, match="UTF-8"):
        read_text(path)


def test_what_is_written_is_private_and_a_replaced_file_keeps_its_permissions(tmp_path):
    old = os.umask(0o022)
    try:
        make_private_folder(tmp_path / "above" / "run")
        write_atomically(tmp_path / "above" / "run" / "a", "x")
        with replacing(tmp_path / "folder") as partial:
            partial.mkdir()
            (partial / "b").write_text("x")
    finally:
        os.umask(old)
    modes = {
        one.relative_to(tmp_path).as_posix(): stat.S_IMODE(one.stat().st_mode)
        for one in tmp_path.rglob("*")
    }
    assert modes == {
        "above": 0o755,
        "above/run": 0o700,
        "above/run/a": 0o600,
        "folder": 0o700,
        "folder/b": 0o600,
    }
    (tmp_path / "folder/b").chmod(0o640)
    write_atomically(tmp_path / "folder/b", "y")
    assert stat.S_IMODE((tmp_path / "folder/b").stat().st_mode) == 0o640


def test_a_pipe_or_a_device_is_never_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(InputError, match="a pipe or a device"):
            write_atomically(path, "x")
        assert not path.is_file()


def test_a_link_is_replaced_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "report").symlink_to(tmp_path / "mine")
    write_atomically(tmp_path / "report", "new")
    assert (tmp_path / "mine").read_text() == "mine"
    assert (tmp_path / "report").read_text() == "new"


def test_what_is_said_already_is_not_said_twice() -> None:
    assert cannot("run", "be used", InputError("run is a file")) == "run is a file"
