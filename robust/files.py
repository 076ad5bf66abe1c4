"""Files: reading regular ones alone, writing them as a whole, and readable by their owner alone."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

from robust.errors import InputError, excerpt

PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700
"""Modes of all that is written: results by case and pictures are of patients."""
MOST_TEXT = 16 << 20
"""Bytes of a plan, a recipe or a card; more is another file."""


def open_regular(path: Path) -> BufferedReader:
    """A file opened to read; InputError where it is missing, a folder, a pipe or a device.

    A pipe or a device would block for ever or never end.
    """
    try:
        # A pipe opened without O_NONBLOCK waits for somebody to write to it.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise InputError(cannot(path, "be read", error)) from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        kind = "a folder" if path.is_dir() else "a pipe or a device"
        raise InputError(f"{excerpt(path, 300)} is {kind}, not a file; name a regular file")
    return open(handle, "rb")


def read_bytes(path: Path, most: int) -> bytes:
    """The content of a regular file of at most `most` bytes; InputError."""
    with open_regular(path) as file:
        try:
            # A buffer of the size that is asked for is made at once: of the file's, not of `most`.
            expected = min(os.fstat(file.fileno()).st_size, most)
            content = file.read(expected + 1)
            if len(content) > expected:
                content += file.read(most + 1 - len(content))
        except OSError as error:
            raise InputError(cannot(path, "be read", error)) from None
    if len(content) > most:
        raise InputError(f"{excerpt(path, 300)} is larger than {most} bytes; is it the right file?")
    return content


def read_text(path: Path, most: int = MOST_TEXT) -> str:
    """The text of a regular file in UTF-8, with or without a byte order mark; InputError."""
    try:
        return read_bytes(path, most).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{excerpt(path, 300)} is not a text file in UTF-8; save it so") from None


def read_json_table(path: Path) -> dict[str, Any]:
    """The table in a JSON file; InputError."""
    return json_table(read_text(path), path)


def json_table(text: str | bytes, source: object) -> dict[str, Any]:
    """The table that a JSON text is; InputError, which names its source, for anything else."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(f"{source} is not valid JSON; copy it again") from None
    if not isinstance(found, dict):
        raise InputError(f"{source} holds no table; copy it again")
    return found


def cannot(path: Path | str, verb: str, error: BaseException) -> str:
    """The line for a failed system call: `m.npz cannot be read: no space left on the disk`.

    An InputError, which is a ValueError, has said it already.
    """
    if isinstance(error, InputError):
        return str(error)
    number = error.errno if isinstance(error, OSError) else None
    reason = _REASONS.get(number or 0) or getattr(error, "strerror", None) or str(error)
    return f"{excerpt(path, 300)} cannot {verb}: {reason}"


_BINARY = getattr(os, "O_BINARY", 0)
_REASONS = {
    errno.ENOENT: "there is no such file or folder; check the path",
    errno.EACCES: "permission denied; ask for access, or name another place",
    errno.EPERM: "permission denied; ask for access, or name another place",
    errno.ENOSPC: "the disk is full; make room and run the same command again",
    errno.EDQUOT: "the disk quota is used up; make room and run the same command again",
    errno.EROFS: "the disk is read-only; name a place that can be written",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
    errno.EISDIR: "it is a folder; name a file",
    errno.ENOTDIR: "a part of its path is a file; name a folder",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n)",
    errno.ENFILE: "too many files are open on this machine; close some",
    errno.ELOOP: "its links lead in a circle; fix them",
    errno.EIO: "the disk reports an error; copy the data to another one",
    errno.ESTALE: "the network disk lost the file (stale handle); mount it anew, then try again",
    errno.ETIMEDOUT: "the network disk does not answer; try again once it does",
    errno.EHOSTDOWN: "the network disk does not answer; try again once it does",
    errno.ENOTCONN: "the network disk is no longer connected; mount it anew, then try again",
    errno.ENOLCK: "the disk has no locks; name a place on another disk",
}


def path_exists(path: Path) -> bool:
    """Whether there is something of this name; InputError where the name cannot be looked up."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise InputError(cannot(path, "be used", error)) from None
    return True


def make_private_folder(path: Path) -> None:
    """Create a folder that its owner alone can read; one that is there stays as it is.

    Missing folders above it get the usual permissions.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)


@contextmanager
def private_files() -> Iterator[None]:
    """Until the block ends, also what libraries write is readable by its owner alone.

    The mode is that of the whole process, so it is set by commands, not in threads.
    """
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def make_private(path: Path) -> None:
    """Let a file, or a folder with all in it, be read by its owner alone."""
    if path.is_dir() and not path.is_symlink():
        path.chmod(PRIVATE_FOLDER)
        for inner in path.iterdir():
            make_private(inner)
    else:
        path.chmod(PRIVATE_FILE)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write a file or a folder to; on leaving it takes its place.

    It is readable by its owner alone; a file that is replaced keeps its permissions. Where the
    block raises, `path` stays as it was and nothing is left beside it. A link is replaced, not what
    it leads to. InputError where `path` is a device, a pipe or a socket.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        # Renaming over it would remove it, for all of the machine.
        raise InputError(f"{excerpt(path, 300)} is a pipe or a device, not a file; name a file")
    partial = path.with_name(f".{path.name[:40]}.{os.getpid()}.partial")
    _remove(partial)
    try:
        yield partial
        if partial.is_dir() and path.is_dir():
            path.rmdir()  # Windows moves no folder over another
        make_private(partial)
        if path.is_file():
            partial.chmod(stat.S_IMODE(path.stat().st_mode))
        partial.replace(path)
    except BaseException:
        _remove(partial)
        raise


def create_private(path: Path) -> None:
    """Create an empty file that its owner alone can read, to be opened and filled."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, PRIVATE_FILE))


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a whole file or nothing; text as UTF-8 with its line ends as they are."""
    with replacing(path) as partial:
        create_private(partial)
        partial.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
