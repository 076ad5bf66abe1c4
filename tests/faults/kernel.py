"""A kernel that refuses locks or shared memory to one process, as a network disk does (seccomp)."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys

import pytest

REFUSED = {
    "flock": ("flock", ()),
    "record locks": ("fcntl", ((1, "is", 6),)),  # F_SETLK, which SQLite uses
    "shared memory": ("mmap", ((2, "has", 2), (3, "has", 1))),  # PROT_WRITE, MAP_SHARED
}
"""By what is refused: the system call, and what its arguments must be (number, how, value)."""
_NUMBERS = {
    "x86_64": (0xC000003E, {"flock": 73, "fcntl": 72, "mmap": 9}),
    "aarch64": (0xC00000B7, {"flock": 32, "fcntl": 25, "mmap": 222}),
}
_LOAD, _IS, _HAS, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2


def refuse(what: str, number: int) -> None:
    """From now on this process and its children get an error number where they ask for `what`."""
    call, arguments = REFUSED[what]
    machine, calls = _NUMBERS[platform.machine()]
    tests = [(4, "is", machine), (0, "is", calls[call])]
    tests += [(16 + 8 * place, how, value) for place, how, value in arguments]
    steps = [_step(_RETURN, 0, 0, _FAIL | number)]
    for offset, how, value in reversed(tests):
        test = _step(_IS if how == "is" else _HAS, 0, len(steps), value)
        steps = [_step(_LOAD, 0, 0, offset), test, *steps]
    code = ctypes.create_string_buffer(b"".join([*steps, _step(_RETURN, 0, 0, _ALLOW)]))
    program = struct.pack("HxxxxxxP", len(steps) + 1, ctypes.addressof(code))
    system = ctypes.CDLL(None, use_errno=True)
    if system.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or system.prctl(_SECCOMP, _FILTER, program):
        raise OSError(ctypes.get_errno(), "the kernel takes no filter")


def _step(code: int, then: int, otherwise: int, value: int) -> bytes:
    return struct.pack("HBBI", code, then, otherwise, value)


def _filters() -> bool:
    """Whether this kernel lets a process refuse something to itself."""
    if not sys.platform.startswith("linux") or platform.machine() not in _NUMBERS:
        return False
    child = os.fork()
    if child == 0:
        try:
            refuse("flock", errno.ENOLCK)
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


needs_filter = pytest.mark.skipif(not _filters(), reason="needs Linux with seccomp")
