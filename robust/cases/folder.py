"""Reads a folder with one subfolder per class, perhaps inside train, val and test."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from robust.cases.case import Cases, Entry, finding_indices
from robust.cases.entries import EntryMaker, check_unique, digest_of_file, read_case
from robust.cases.formats import READ
from robust.cases.index.class_folders import ClassFolders, find_class_folders
from robust.cases.index.files import image_files, unread_remedy, unread_text
from robust.cases.index.spelling import tidy
from robust.cases.split_names import SPLITS, find_split, split_meant
from robust.cases.tables.beside import check_no_label_table
from robust.cases.tables.groups import group_in_path
from robust.cases.tables.shares import are_shares, draw_splits, drawn_text
from robust.cases.tables.splits import choose_split
from robust.cases.walk import list_folder
from robust.errors import InputError, did_you_mean, excerpt

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
    splits: Mapping[str, float] | None = None,
    split_seed: int = 0,
    folders_alone: bool = False,
) -> Cases:
    """The cases of class folders, with the classes in alphabetical order or that of `classes`.

    DICOM files name their patients. Other images have no groups: `group_pattern` takes them from
    the file's path (first bracket of a regular expression), or `group = "none"` says that there are
    none. `window` chooses a view of DICOM files. Folders without an image are no classes, unless
    `classes` names them; what is left out is said in a warning. A table that names the images is an
    error, since it and not the folders has their labels, unless `folders_alone` or `classes` say
    otherwise. `splits` are shares of the patients, drawn with `split_seed`, where no folders divide
    the set.
    """
    name = root.resolve().name
    if splits is not None and not isinstance(splits, Mapping):
        raise InputError(f"[data] splits = {splits!r} needs a table; class folders take shares")
    if classes is None and not folders_alone:
        check_no_label_table(root)
    folder, wanted = _find_split(root, split, splits)
    found = find_class_folders(folder, classes, certain=folders_alone)
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
    keys = [tidy(path.relative_to(root).as_posix()) for _, path in images]
    owners = [
        key if group == "none" else group_in_path(key, group_pattern) if group_pattern else None
        for key in keys
    ]
    sides, said = [wanted or "all"] * len(keys), ""
    if splits is not None:
        sides = _draw(owners, [names[label] for label, _ in images], splits, split_seed)
        said = f"; {drawn_text(splits, split_seed, 'image' if group == 'none' else 'group')}"
        _, wanted = choose_split(sides, wanted, name)
    entries: list[Entry] = []
    for (label, path), key, owner, side in zip(images, keys, owners, sides):
        if wanted in (side, "all"):
            entries += maker.entries(path, key, label, owner, {})
    check_unique(entries, str(folder))
    if not entries:
        left = f"; {unread_text(found.left_out)}" if found.left_out else ""
        raise InputError(f"no images under {folder}; looked for {READ}{left}")
    _warn(found, folder)
    return Cases(
        source=f"a folder of images{said}",
        classes=names,
        entries=tuple(entries),
        read=read_case,
        findings=finding_indices(names, findings, in_order=classes is not None),
        grouped=group is None,
        split=wanted or "all",
        showable=not maker.dicom,
        digest=digest_of_file,
        notes=dataclasses.replace(maker.notes, left_out=dict(found.left_out)),
    )


def _warn(found: ClassFolders, folder: Path) -> None:
    """Say which files and folders were left out."""
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


def _draw(
    owners: Sequence[str | None], kinds: Sequence[str], shares: Mapping[str, float], seed: int
) -> list[str]:
    groups = [owner for owner in owners if owner is not None]
    if len(groups) < len(owners) or not are_shares(shares):
        raise InputError(
            "[data] splits of class folders are shares of the patients, who must be known: give "
            'group_pattern, or set group = "none"'
        )
    return draw_splits(groups, kinds, shares, seed)


def _find_split(
    root: Path, split: str | None, shares: Mapping[str, float] | None
) -> tuple[Path, str | None]:
    """The folder that holds the class folders of a split, and the split's name.

    Shares of the whole folder are drawn later, for the split that is asked for.
    """
    order = list(SPLITS)
    folders = (one.path.name for one in list_folder(root) if one.is_folder)
    meant = sorted((order.index(m), name) for name in folders if (m := split_meant(name)))
    present = [name for _, name in meant]
    if shares is not None:
        if present:
            raise InputError(f"{root} is divided into {', '.join(present)}; leave out splits")
        return root, split
    if split == "all" or (split is None and not present):
        if present:
            raise InputError(
                f'{root} is divided into {", ".join(present)}; name one of them, not "all"'
            )
        return root, "all"
    wanted = split or "test"
    found = find_split(wanted, present)
    if found is None:
        raise InputError(
            f"{root} has no split folder {wanted!r}; "
            + (did_you_mean(wanted, present) if present else 'set split = "all"')
        )
    return root / found, found
