"""Walks folders of the user's data: in a fixed order, and nothing unreadable is left out."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from robust.errors import InputError
from robust.files import cannot

_OF_SYSTEMS = (
    *("__macosx", "@eadir", "@tmp", "#recycle", "#snapshot", "$recycle.bin", "lost+found"),
    *("system volume information", "__pycache__"),
)
"""Folders that operating systems and network disks make, in small letters."""


class Listed(NamedTuple):
    """What lies in a folder."""

    path: Path
    is_folder: bool
    is_link: bool

    @property
    def is_system(self) -> bool:
        """Whether it is hidden, or a folder that a system makes: it holds nothing of the user's."""
        return self.path.name.startswith(".") or self.path.name.lower() in _OF_SYSTEMS


def walk_files(root: Path, once: dict[str, Path] | None = None) -> Iterator[Path]:
    """All that is below a folder and is no folder, sorted by the parts of its path.

    Hidden folders and those of operating systems (`__MACOSX`, `@eaDir`) are not entered. Links are
    followed, but not back up, and each folder is entered once. `once` holds the folders that were
    entered, for several walks together: a folder that two paths lead to is an InputError
    then, because its images would count for one of the paths alone. Raises InputError for a folder
    that cannot be read: its images must not be missing without a word.
    """
    entered = {} if once is None else once
    # By its path without links: numbers of inodes are not unique on every network drive.
    real = os.path.realpath(root)
    above = {real, *map(str, Path(real).parents)}
    waiting = [(real, iter(list_folder(root)))]
    _enter(root, real, entered, once is not None)
    while waiting:
        real, listed = waiting[-1]
        found = next(listed, None)
        if found is None:
            waiting.pop()
            continue
        path, is_folder, is_link = found
        if not is_folder:
            yield path
            continue
        if found.is_system:
            continue
        target = os.path.realpath(path) if is_link else os.path.join(real, path.name)
        if target in above or any(target == one for one, _ in waiting):
            continue
        if _enter(path, target, entered, once is not None):
            waiting.append((target, iter(list_folder(path))))


def _enter(path: Path, real: str, entered: dict[str, Path], strict: bool) -> bool:
    """Note that a folder is entered; False where it was before, or InputError where `strict`."""
    if real in entered and strict:
        raise InputError(f"{path} and {entered[real]} are the same folder; keep one of them")
    return entered.setdefault(real, path) is path


def list_folder(folder: Path) -> list[Listed]:
    """What lies in a folder, sorted by name; InputError where that cannot be said."""
    found: list[Listed] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    listed = Listed(folder / entry.name, entry.is_dir(), entry.is_symlink())
                except OSError as error:  # a link to what may not be read, or to itself
                    raise InputError(cannot(entry.path, "be read", error)) from None
                found.append(listed)
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(cannot(folder, "be read", error)) from None
    return sorted(found, key=lambda one: one.path.name)


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
