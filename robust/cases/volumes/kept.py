"""Volumes that were read last, so that a file is not unpacked once for each of its slices."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
_KEPT = 4
"""Images and masks of two volumes."""


def read_once(read: Callable[..., T], path: Path, *arguments: Hashable) -> T:
    """What `read(path, *arguments)` gives, kept as long as the file does not change."""
    try:
        state = path.stat()
    except (OSError, ValueError):
        return read(path, *arguments)  # which says what is wrong
    found: T = _kept(read, path, arguments, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
    return found


@functools.lru_cache(maxsize=_KEPT)
def _kept(read: Callable[..., Any], path: Path, arguments: tuple[Hashable, ...], *_: int) -> Any:
    return read(path, *arguments)
