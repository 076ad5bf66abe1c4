"""Files of an export: private, and after a failure exactly these are removed again."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path

from robust.files import create_private, make_private, make_private_folder


@dataclass
class NewFiles:
    """Files that are written into one folder, and the folders made for them."""

    folder: Path
    _made: list[Path] = field(default_factory=list)
    """In the order in which they were made."""

    def new(self, name: str) -> Path:
        """The path of a new, empty file, to be filled; OSError."""
        self.make_folder()
        path = self.folder / name
        create_private(path)
        self._made.append(path)
        return path

    def make_folder(self) -> None:
        """Create the folder where there is none; OSError."""
        parents = self.folder.parents
        missing = [path for path in (self.folder, *parents) if not path.exists()]
        make_private_folder(self.folder)
        self._made += reversed(missing)

    def add(self, path: Path) -> None:
        """Take in a file that somebody else has written here."""
        make_private(path)
        self._made.append(path)

    def remove(self) -> None:
        """Remove these files, and those folders into which nobody else has put anything."""
        for path in reversed(self._made):
            with contextlib.suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        self._made.clear()
