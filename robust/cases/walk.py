"""Walks folders of the user's data: in a fixed order, and nothing unreadable is left out."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from robust.errors import InputError
from robust.files import cannot


def walk_files(root: Path) -> Iterator[Path]:
    """All that is below a folder and is no folder, sorted by the parts of its path.

    Links are followed, and each folder is entered once, so that links in a circle end. Raises
    InputError for a folder that cannot be read: its images must not be missing without a word.
    """
    entered = {_identity(root)}
    waiting = [iter(list_folder(root))]
    while waiting:
        found = next(waiting[-1], None)
        if found is None:
            waiting.pop()
            continue
        path, is_folder = found
        if not is_folder:
            yield path
        elif (identity := _identity(path)) not in entered:
            entered.add(identity)
            waiting.append(iter(list_folder(path)))


def list_folder(folder: Path) -> list[tuple[Path, bool]]:
    """What lies in a folder, sorted by name, and whether each is a folder; InputError."""
    found: dict[str, bool] = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    found[entry.name] = entry.is_dir()
                except OSError as error:  # a link to what may not be read, or to itself
                    raise InputError(cannot(entry.path, "be read", error)) from None
    except (OSError, ValueError) as error:
        raise InputError(cannot(folder, "be read", error)) from None
    return [(folder / name, found[name]) for name in sorted(found)]


def is_there(path: Path) -> bool:
    """Whether a folder has an entry of this name, be it a link that leads nowhere; InputError."""
    return _status(path, follow=False) is not None


def is_folder(path: Path) -> bool:
    """Whether it is a folder, or a link to one; InputError where that cannot be said."""
    found = _status(path)
    return found is not None and stat.S_ISDIR(found.st_mode)


def file_size(path: Path) -> int | None:
    """Bytes of a regular file; None where there is none, InputError where that cannot be said."""
    found = _status(path)
    return found.st_size if found is not None and stat.S_ISREG(found.st_mode) else None


def _status(path: Path, follow: bool = True) -> os.stat_result | None:
    """Unlike `Path.is_file`, which raises OSError in some cases and says no in others."""
    try:
        return path.stat(follow_symlinks=follow)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        raise InputError(cannot(path, "be read", error)) from None


def _identity(folder: Path) -> tuple[int, int]:
    try:
        found = folder.stat()
    except (OSError, ValueError) as error:
        raise InputError(cannot(folder, "be read", error)) from None
    return found.st_dev, found.st_ino
