"""Finds the image that a cell names: by its path, its name, or its name without suffix."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from robust.cases.formats import DICOM_SUFFIXES, SUFFIXES
from robust.cases.walk import file_size, walk_files
from robust.errors import InputError, excerpt
from robust.plan.paths import is_table

Parts = tuple[str, ...]
_IMAGES = (*SUFFIXES, *DICOM_SUFFIXES)
_LEFT_OUT = ("__MACOSX", "@eaDir")
"""Folders of copies that systems make."""


class Located(NamedTuple):
    """What a cell names."""

    key: str
    """The path as written, or inside the folder where the image was looked for; may be empty."""
    path: Path | None
    """Where the image lies, or would lie; None where nothing says."""
    found: bool


class ImageIndex:
    """The images below a folder, by name and by stem; the folder is walked when it is first asked.

    Names are compared in one form of Unicode, and whatever the case of their suffix.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def locate(self, cells: Iterable[str]) -> list[Located]:
        """What each cell names; InputError where two images, or two cells, could be meant."""
        known: dict[str, Located] = {"": Located("", None, False)}
        owners: dict[str, str] = {}
        located = []
        for cell in cells:
            found = known.get(cell)
            if found is None:
                found = known[cell] = self._locate(cell)
                written = PurePosixPath(cell.replace("\\", "/")).as_posix()
                other = owners.setdefault(found.key, written)
                if found.found and other != written:
                    raise InputError(
                        f"{excerpt(other)} and {excerpt(written)} are both the image "
                        f"{excerpt(found.path, 300)}; name each image by its path"
                    )
            located.append(found)
        return located

    def find(self, cell: str) -> str | None:
        """The path inside the folder of the one image that a cell names; None without one.

        Where the cell holds folders, they must be those of the image as far as both go.
        """
        parts = _parts(cell)
        if not parts:
            return None
        names, stems = self._images
        suffix = PurePosixPath(parts[-1]).suffix
        for known, last in (
            (names, parts[-1]),
            (stems, parts[-1]),
            (stems, _normal(parts[-1].removesuffix(suffix)) if suffix in _IMAGES else ""),
        ):
            found = _fitting([*parts[:-1]], known.get(last, ()))
            if len(found) > 1:
                raise InputError(
                    f"{excerpt(cell)} could be {excerpt(found[0], 200)} or "
                    f"{excerpt(found[1], 200)}; name the image by its path, or with a template "
                    f'such as file = "folder/{{id}}{Path(found[0]).suffix}"'
                )
            if found:
                return found[0]
        return None

    def _locate(self, cell: str) -> Located:
        key = PurePosixPath(cell).as_posix()
        direct = self.root / key
        if file_size(direct) is not None:
            return Located(key, direct, True)
        inside = self.find(cell)
        if inside is not None:
            return Located(inside, self.root / inside, True)
        return Located(key, direct, False)

    @cached_property
    def _images(self) -> tuple[dict[str, list[tuple[Parts, str]]], ...]:
        """By name, and by stem: the folders of each image, and its path inside the root."""
        names: dict[str, list[tuple[Parts, str]]] = {}
        stems: dict[str, list[tuple[Parts, str]]] = {}
        for path in walk_files(self.root):
            inside = path.relative_to(self.root)
            if is_table(path.name) or any(
                part.startswith(".") or part in _LEFT_OUT for part in inside.parts
            ):
                continue
            *folders, name = _parts(inside.as_posix())
            image = (tuple(folders), inside.as_posix())
            names.setdefault(name, []).append(image)
            suffix = PurePosixPath(name).suffix
            if suffix in _IMAGES:
                stems.setdefault(_normal(name.removesuffix(suffix)), []).append(image)
        return names, stems


def _parts(text: str) -> list[str]:
    """The parts of a path in one form: composed characters, `/`, the suffix in small letters."""
    *folders, name = unicodedata.normalize("NFC", text).replace("\\", "/").split("/")
    return [part for part in (*folders, _normal(name)) if part not in ("", ".")]


def _normal(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}.{suffix.lower()}" if dot and stem else name


def _fitting(folders: list[str], images: Iterable[tuple[Parts, str]]) -> list[str]:
    """Images whose folders end as these do, or these as the image's: the longest such path."""
    best: list[str] = []
    length = -1
    for owner, inside in images:
        shared = min(len(owner), len(folders))
        if shared and tuple(folders[-shared:]) != owner[-shared:]:
            continue
        exact = len(owner) if len(owner) <= len(folders) else len(folders)
        exact += len(owner) == len(folders)
        if exact > length:
            best, length = [inside], exact
        elif exact == length:
            best.append(inside)
    return best
