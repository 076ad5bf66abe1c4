"""Atomic writes: a file is there as a whole or not at all, whenever the process dies."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write a file or a folder to; on leaving it takes its place.

    Where the block raises, `path` stays as it was and nothing is left beside it.
    """
    partial = path.with_name(f".{path.name[:80]}.{os.getpid()}.partial")
    _remove(partial)
    try:
        yield partial
        if partial.is_dir() and path.is_dir():
            path.rmdir()  # Windows moves no folder over another
        partial.replace(path)
    except BaseException:
        _remove(partial)
        raise


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a whole file or nothing; text as UTF-8 with its line ends as they are."""
    with replacing(path) as partial:
        partial.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
