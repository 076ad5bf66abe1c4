"""Reads a folder with one subfolder per class, perhaps inside train, val and test."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from robust.cases.case import Cases, Entry, finding_indices
from robust.cases.entries import EntryMaker, check_unique, digest_of_file, read_case
from robust.cases.formats import READ
from robust.cases.index.class_folders import SPLITS, find_class_folders
from robust.cases.index.files import image_files, unread_remedy, unread_text
from robust.cases.index.spelling import tidy
from robust.cases.walk import list_folder
from robust.errors import InputError, did_you_mean, excerpt

_MEANINGS = {word: split for split, words in SPLITS.items() for word in words}
"""The split that a folder's name means."""
_log = logging.getLogger(__name__)


def open_folder(
    root: Path,
    *,
    split: str | None = None,
    classes: Sequence[str] | None = None,
    findings: Sequence[str] | None = None,
    group: str | None = None,
    group_pattern: str | None = None,
    keep_names: bool = False,
    window: int | None = None,
) -> Cases:
    """The cases of class folders, with the classes in alphabetical order or that of `classes`.

    DICOM files name their patients. Other images have no groups: `group_pattern` takes them from
    the file's path (first bracket of a regular expression), or `group = "none"` says that there are
    none. `window` chooses a view of DICOM files. Folders without an image are no classes, unless
    `classes` names them; what is left out is said in a warning.
    """
    name = root.resolve().name
    folder, split = _find_split(root, split)
    found = find_class_folders(folder, classes)
    names, images = found.names, found.images
    if group not in (None, "none"):
        raise InputError(
            f"group = {group!r} names a column, but {name} is a folder of class folders; "
            f'give group_pattern, or group = "none"'
        )
    # From all splits, so that a patient has one pseudonym in each.
    everything = image_files(root, Counter())
    maker = EntryMaker([path for _, path in images], keep_names, window, everything)
    if group is None and group_pattern is None and not (images and maker.dicom):
        raise InputError(
            f"{name} does not name patients: give group_pattern, a regular expression whose "
            f'first bracket is the patient in the file name, or set group = "none"'
        )
    entries: list[Entry] = []
    for label, path in images:
        key = tidy(path.relative_to(root).as_posix())
        owner = key if group == "none" else _group(key, group_pattern) if group_pattern else None
        entries += maker.entries(path, key, label, owner, {})
    check_unique(entries, str(folder))
    if not entries:
        left = f"; {unread_text(found.left_out)}" if found.left_out else ""
        raise InputError(f"no images under {folder}; looked for {READ}{left}")
    if found.left_out:
        _log.warning("robust: %s: %s; %s", folder, unread_text(found.left_out), unread_remedy())
    if found.without_images:
        shown = ", ".join(repr(excerpt(name, 40)) for name in found.without_images[:5])
        _log.warning(
            "robust: %s: no classes are the folders %s (no image in them, or a copy of all the "
            "others); if one is a class, name all with classes",
            folder,
            shown,
        )
    return Cases(
        source="a folder of images",
        classes=names,
        entries=tuple(entries),
        read=read_case,
        findings=finding_indices(names, findings, in_order=classes is not None),
        grouped=group is None,
        split=split,
        showable=not maker.dicom,
        digest=digest_of_file,
        notes=dataclasses.replace(maker.notes, left_out=dict(found.left_out)),
    )


def _find_split(root: Path, split: str | None) -> tuple[Path, str]:
    """The folder that holds the class folders of a split, and the split's name."""
    folders = [one.path.name for one in list_folder(root) if one.is_folder]
    present = sorted(
        (name for name in folders if name.lower() in _MEANINGS),
        key=lambda name: (list(SPLITS).index(_MEANINGS[name.lower()]), name),
    )
    if split == "all" or (split is None and not present):
        if present:
            raise InputError(
                f'{root} is divided into {", ".join(present)}; name one of them, not "all"'
            )
        return root, "all"
    wanted = split or "test"
    meaning = _MEANINGS.get(wanted.lower())
    same = [name for name in present if _MEANINGS[name.lower()] == meaning]
    if wanted in present:
        return root / wanted, wanted
    if meaning is None or not same:
        raise InputError(
            f"{root} has no split folder {wanted!r}; "
            + (did_you_mean(wanted, present) if present else 'set split = "all"')
        )
    if len(same) > 1:
        raise InputError(f"{root} has the folders {', '.join(same)}: name the split as one of them")
    return root / same[0], wanted


def _group(key: str, pattern: str | None) -> str:
    try:
        match = re.search(pattern or "", key)
    except re.error as error:
        raise InputError(
            f"group_pattern {pattern!r} is not a regular expression: {error}"
        ) from None
    if match is None or not match.groups() or match.group(1) is None:
        raise InputError(f"group_pattern {pattern!r} finds no group in {key!r}; fix the pattern")
    return match.group(1)
