"""The split of each image: from a column, from its path, from list files, or drawn by shares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from robust.cases.split_names import WORDS, find_split, split_meant
from robust.cases.tables.image_index import ImageIndex, Located
from robust.errors import InputError, did_you_mean, excerpt
from robust.files import read_text
from robust.plan.paths import find_table_file

BY_PATH = "path"
"""As `[data] splits`: folders of the path name the split."""
MOST_LIST = 64 << 20
"""Bytes of a list of images."""


def splits_by_path(located: Sequence[Located], cells: Sequence[str]) -> list[str]:
    """The first of the folders train, val, test and the like in each path; InputError without."""
    found = [_in_path(place.key) or _in_path(cell) for place, cell in zip(located, cells)]
    missing = found.count("")
    if missing:
        raise InputError(
            f'[data] splits = "path": {missing} of {len(found)} images lie in no folder '
            f"{', '.join(WORDS)}; name a column or lists of images"
        )
    return found


def _in_path(text: str) -> str:
    folders = PurePosixPath(text.replace("\\", "/")).parts[:-1]
    return next((part for part in folders if split_meant(part)), "")


def splits_by_lists(
    lists: Mapping[str, str], root: Path, located: Sequence[Located], index: ImageIndex
) -> list[str]:
    """The list, one image a line, that names each image; empty where none does. InputError.

    A line names an image as a cell of the table does, or by its file name alone.
    """
    by_key = {place.key: number for number, place in enumerate(located)}
    by_name: dict[str, list[int]] = {}
    for key, number in by_key.items():
        name = PurePosixPath(key)
        for text in {name.name, name.stem}:
            by_name.setdefault(text, []).append(number)
    owner: dict[int, str] = {}
    for split, file in lists.items():
        lines = _lines(find_table_file(root, file, "list"))
        named = {by_key.get(line, -1) for line in lines}
        for line in lines:
            if line not in by_key:
                named.update(_by_name(line, by_name, index, by_key))
        named.discard(-1)
        if not named:
            raise InputError(f"{file} names no image of the table; it needs one image a line")
        twice = [number for number in named if owner.setdefault(number, split) != split]
        if twice:
            raise InputError(
                f"{len(twice)} images are in the lists of both {owner[twice[0]]} and {split}; keep "
                f"each in one"
            )
    keys = [by_key[place.key] for place in located]
    return [owner.get(number, "") for number in keys]


def _by_name(
    line: str, by_name: Mapping[str, list[int]], index: ImageIndex, by_key: Mapping[str, int]
) -> list[int]:
    found = by_name.get(line, [])
    if len(found) == 1:
        return found
    inside = index.find(line)
    return [by_key[inside]] if inside is not None and inside in by_key else []


def _lines(path: Path) -> list[str]:
    lines = (line.strip() for line in read_text(path, MOST_LIST).splitlines())
    return [PurePosixPath(line).as_posix() for line in lines if line]


def choose_split(
    splits: Sequence[str] | None, split: str | None, source: str
) -> tuple[list[bool] | None, str]:
    """Which images are of the split that is asked for, None for all, and its name; InputError."""
    if split == "all" or (split is None and splits is None):
        return None, "all"
    wanted = split or "test"
    if splits is None:
        raise InputError(
            f"{source} has no split column 'split' (or split = \"all\"); name where splits come "
            f"from: splits"
        )
    known = sorted({name for name in splits if name})
    found = find_split(wanted, known)
    if found is None:
        raise InputError(
            f"{source} has no rows of split {excerpt(wanted)!r}; "
            + (did_you_mean(wanted, known) if known else 'its column is empty; set split = "all"')
        )
    return [name == found for name in splits], found


def check_no_leak(groups: Sequence[str], splits: Sequence[str]) -> None:
    """InputError where images of one group, such as a patient, are in two splits."""
    sides: dict[str, set[str]] = {}
    for group, split in zip(groups, splits, strict=True):
        if group and split:
            sides.setdefault(group, set()).add(split)
    torn = {group: names for group, names in sides.items() if len(names) > 1}
    if not torn:
        return
    pairs = Counter(" and ".join(sorted(names)) for names in torn.values())
    images = sum(group in torn for group in groups)
    places = ", ".join(f"{count} in {pair}" for pair, count in sorted(pairs.items()))
    one = len(torn) == 1
    raise InputError(
        f"{len(torn)} group{'' if one else 's'} (patients or lesions, {images} images) "
        f"{'is' if one else 'are'} in more than one split: {places}; keep all images of a group "
        f"in one, or let them be drawn: splits = {{train = 0.8, test = 0.2}}"
    )
