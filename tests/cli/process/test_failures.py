"""Errors as one line and an exit code; names that no file can have, in every path of a command."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from robust.cli.process.failures import explain
from robust.errors import InputError
from tests.cli.commands import Robust, write_plan


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InputError("bad"), 2, "bad"),
        (OSError(errno.ENOSPC, "x", "m.npz"), 2, "m.npz cannot be used: the disk is full"),
        (OSError(errno.EROFS, "x", b"m"), 2, "m cannot be used: the disk is read-only"),
        (OSError("connection lost"), 2, "connection lost"),
        (MemoryError(), 2, "not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 2, "not enough memory"),
        (ValueError("embedded null byte"), 2, "zero byte"),
        (RecursionError("deep"), 70, "this is a fault in robust: RecursionError: deep"),
        (KeyError("a\x1b[2J\nb"), 70, "KeyError"),
    ],
)
def test_one_line_and_a_code(error: Exception, code: int, said: str) -> None:
    found, line = explain(error)
    assert found == code and said in line
    assert "\n" not in line and "\x1b" not in line


PATHS = (
    ("audit", "{}", "--out", "run"),
    ("audit", "--folder", "{}", "--data", "phantom:chest_xray", "--out", "run"),
    ("audit", "plan.toml", "--weights", "{}", "--out", "run"),
    ("audit", "plan.toml", "--data", "{}", "--out", "run"),
    ("report", "{}"),
    ("compare", "{}", "{}"),
    ("train", "{}", "--out", "model"),
    ("fit-detector", "{}", "--detector", "LID", "--out", "guard"),
    ("screen", "{}", "image.png"),
    ("bench", "{}"),
    ("demo", "--count", "4", "--out", "{}"),
)
NAMES = ("x" * 300, "toy_factory.py/below", "fifo", "/dev/zero", "loop", "a\0b", "::n\x1b[2J\nno")


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_no_file_has(
    robust: Robust, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EACCES, "denied", "place")

    monkeypatch.setattr("robust.demo._write_files", fail)
    write_plan()
    os.mkfifo("fifo")
    Path("loop").symlink_to("loop")
    for command in PATHS:
        answer = robust(*(part.format(name) for part in command))
        assert answer.code == 2, (command, answer.err)
        (line,) = answer.err.splitlines()
        assert line.startswith("robust: ") and "\x1b" not in line
