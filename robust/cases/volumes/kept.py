"""Volumes that were read last, so that a file is not unpacked once for each of its slices."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, TypeVar

from robust.cases.walk import is_folder, list_folder

T = TypeVar("T")
_KEPT = 6
"""Images, masks and slices' places of two volumes, one for each thread that reads."""


def read_once(read: Callable[..., T], path: Path, *arguments: Hashable) -> T:
    """What `read(path, *arguments)` gives, kept as long as the file does not change."""
    try:
        states = tuple(map(_state, files_of(path)))
    except (OSError, ValueError):
        return read(path, *arguments)  # which says what is wrong
    found: T = _kept(read, path, arguments, states)
    return found


def files_of(path: Path) -> list[Path]:
    """The file itself, or those that lie in a folder, such as the slices of a series."""
    if not is_folder(path):
        return [path]
    return [one.path for one in list_folder(path) if not one.is_folder]


def _state(path: Path) -> tuple[Hashable, ...]:
    state = path.stat()
    return path.name, state.st_size, state.st_mtime_ns, state.st_ctime_ns


@functools.lru_cache(maxsize=_KEPT)
def _kept(read: Callable[..., Any], path: Path, arguments: tuple[Hashable, ...], _: Any) -> Any:
    return read(path, *arguments)
