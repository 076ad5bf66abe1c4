"""Finds the image that a cell names: by its path, its name, or its name without suffix."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from robust.cases.formats import DICOM_SUFFIXES, NIFTI_SUFFIXES, SUFFIXES, is_dicom
from robust.cases.walk import file_size, is_folder, list_folder, walk_files
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
    place: str | None
    """Where the image lies, or would lie; None where nothing says."""
    found: bool

    @property
    def path(self) -> Path | None:
        """`place` as a path."""
        return None if self.place is None else Path(self.place)


class ImageIndex:
    """The images below a folder, by name and by stem; the folder is walked when it is first asked.

    Names are compared in one form of Unicode, and whatever the case of their suffix.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._walked = False

    def locate(self, cells: Iterable[str]) -> list[Located]:
        """What each cell names; InputError where two images, or two cells, could be meant."""
        known: dict[str, Located] = {"": Located("", None, False)}
        owners: dict[str, str] = {}
        located = []
        for cell in cells:
            found = known.get(cell)
            if found is None:
                found = known[cell] = self._locate(cell)
                written = _posix(cell.replace("\\", "/"))
                other = owners.setdefault(found.key, written)
                if found.found and other != written:
                    raise InputError(
                        f"{excerpt(other)} and {excerpt(written)} are both the image "
                        f"{excerpt(found.place, 300)}; name each image by its path"
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
        *folders, name = parts
        other = _normal(_stem(name))
        for known, last in ((names, name), (stems, name), (stems, other)):
            if last not in known:
                continue
            found = _fitting(folders, known[last])
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
        key = _posix(cell)
        # To ask for each file takes longer than to walk once; most tables need no walk.
        if self._walked and key in self._inside:
            return Located(key, self._place(key), True)
        if not self._walked and file_size(self.root / key) is not None:
            return Located(key, self._place(key), True)
        if self._is_series(key):
            return Located(key, self._place(key), True)
        inside = self.find(cell)
        if inside is not None:
            return Located(inside, self._place(inside), True)
        return Located(key, self._place(key), file_size(self.root / key) is not None)

    def _is_series(self, key: str) -> bool:
        """Whether a cell is the path of a folder with DICOM slices."""
        folder = self.root / key
        if key in ("", ".", "..") or key.lower().endswith(_IMAGES) or not is_folder(folder):
            return False
        return any(not one.is_folder and is_dicom(one.path) for one in list_folder(folder))

    def _place(self, key: str) -> str:
        return os.path.join(self._prefix, key)

    @cached_property
    def _prefix(self) -> str:
        return os.fspath(self.root)

    @cached_property
    def _inside(self) -> frozenset[str]:
        names, _ = self._images
        return frozenset(inside for images in names.values() for _, inside in images)

    @cached_property
    def _images(self) -> tuple[dict[str, list[tuple[Parts, str]]], ...]:
        """By name, and by stem: the folders of each image, and its path inside the root."""
        self._walked = True
        names: dict[str, list[tuple[Parts, str]]] = {}
        stems: dict[str, list[tuple[Parts, str]]] = {}
        start = len(os.fspath(self.root / "_")) - 1
        for path in walk_files(self.root):
            inside = os.fspath(path)[start:].replace(os.sep, "/")
            *folders, name = _parts(inside)
            if is_table(name) or name.startswith("."):
                continue
            if any(part.startswith(".") or part in _LEFT_OUT for part in folders):
                continue
            image = (tuple(folders), inside)
            names.setdefault(name, []).append(image)
            stem = _stem(name)
            if stem:
                stems.setdefault(_normal(stem), []).append(image)
        return names, stems


def _posix(cell: str) -> str:
    """A path without `.` and doubled slashes."""
    simple = "/" not in cell and cell != "."
    return cell if simple else PurePosixPath(cell).as_posix()


def _parts(text: str) -> list[str]:
    """The parts of a path in one form: composed characters, `/`, the suffix in small letters."""
    text = text if text.isascii() else unicodedata.normalize("NFC", text)
    *folders, name = text.replace("\\", "/").split("/")
    return [part for part in (*folders, _normal(name)) if part not in ("", ".")]


def _stem(name: str) -> str:
    """A name without the suffix of an image; empty where it has none."""
    for suffix in NIFTI_SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    stem, _, suffix = name.rpartition(".")
    return stem if f".{suffix}" in _IMAGES else ""


def _normal(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}.{suffix.lower()}" if dot and stem else name


def _fitting(folders: list[str], images: Sequence[tuple[Parts, str]]) -> list[str]:
    """Images whose folders end as these do, or these as the image's: the longest such path."""
    if len(images) == 1 and not folders:
        return [images[0][1]]
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
