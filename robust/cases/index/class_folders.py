"""Which subfolders are classes: not those without images, nested copies, or parts of one set."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from robust.cases.formats import is_image
from robust.cases.index.files import image_files
from robust.cases.index.spelling import check_class_spelling, tidy
from robust.cases.split_names import WORDS
from robust.cases.tables.beside import table_remedy
from robust.cases.walk import list_folder
from robust.errors import InputError, did_you_mean, excerpt

_PARTS = frozenset(
    (
        *("part", "parts", "image", "images", "img", "imgs", "picture", "pictures", "photo"),
        *("photos", "scan", "scans", "input", "inputs", "batch", "chunk", "shard", "fold"),
        *("archive", "data", "dataset"),
    )
)
"""Words for a part of a data set."""
_NUMBER = re.compile(r"\d+$")
_SIGNS = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class ClassFolders:
    """The class folders of a data set."""

    names: tuple[str, ...]
    images: list[tuple[int, Path]]
    """Every image with its label, class by class."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Files with images that are not read, by suffix."""
    without_images: tuple[str, ...] = ()
    """Names of the folders that are no classes, since they hold no image or a nested copy."""


def find_class_folders(
    folder: Path, classes: Sequence[str] | None, *, certain: bool = False
) -> ClassFolders:
    """The classes of a folder; InputError where its subfolders are none, or `classes` lacks one.

    `certain` says that they are classes, whatever their names look like.
    """
    left_out: Counter[str] = Counter()
    once: dict[str, Path] = {}
    images: dict[str, list[Path]] = {}
    empty, places = [], {tidy(one): one for one in _subfolders(folder)}
    if not places:
        raise InputError(
            f"{folder} has neither cases.csv nor subfolders; make one subfolder for each class, "
            f"or write a cases.csv with the columns file, label, group and split"
            f"{table_remedy(folder)}"
        )
    for name, place in places.items():
        images[name] = list(image_files(folder / place, left_out, once))
    for one in list_folder(folder):
        if not one.is_folder and is_image(one.path):
            left_out["beside the class folders"] += 1
    empty = [name for name, own in images.items() if not own]
    copies = [name for name in images if _is_nested_copy(folder / places[name], name, images)]
    found = [name for name in images if name not in (*empty, *copies)]
    if classes is None and not certain:
        _require_classes(folder, found)
    names = tuple(found) if classes is None else tuple(map(tidy, classes))
    for name in found:
        if name not in names:
            raise InputError(
                f"folder {name!r} is not among the classes; {did_you_mean(name, names)}"
            )
    return ClassFolders(
        names,
        [
            (label, path)
            for label, name in enumerate(names)
            for path in (images[name] if name in found else ())
        ],
        left_out,
        tuple(name for name in (*empty, *copies) if name not in names),
    )


def _subfolders(folder: Path) -> list[str]:
    return [one.path.name for one in list_folder(folder) if one.is_folder and not one.is_system]


def _is_nested_copy(folder: Path, name: str, siblings: Collection[str]) -> bool:
    """Whether a folder holds the class folders once more, as a twice unpacked archive does."""
    others = set(siblings) - {name}
    return len(others) > 1 and others <= {tidy(inner) for inner in _subfolders(folder)}


def _require_classes(folder: Path, found: Sequence[str]) -> None:
    """InputError where the only folder holds the classes, or the folders are parts of one set."""
    check_class_spelling(found, str(folder))
    if len(found) == 1:
        inner = _subfolders(folder / found[0])
        if len(inner) > 1:
            raise InputError(
                f"{folder} holds one folder with images, {found[0]!r}, and it holds folders in its "
                f"turn; name {folder / found[0]}, or name all classes with classes"
            )
    if len(found) > 1 and _are_parts(found):
        shown = ", ".join(excerpt(name, 40) for name in found[:3])
        raise InputError(
            f"the folders {shown} in {folder} look like parts of one set, not like classes; name "
            f"the table of labels (table in [data]), or name the folders with classes if they are "
            f"classes"
        )


def _are_parts(names: Sequence[str]) -> bool:
    """Whether names differ in numbers and in words of splits alone, and say that they are parts."""
    stems, telling = set(), 0
    for name in names:
        words = [_NUMBER.sub("", word) for word in _SIGNS.split(name.lower()) if word]
        words = [word for word in words if word]
        telling += any(word in _PARTS or word in WORDS for word in words)
        stems.add(tuple(word for word in words if word not in WORDS))
    return telling == len(names) and len(stems) == 1
