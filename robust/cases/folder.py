"""Reads a folder with one subfolder per class, perhaps inside train, val and test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from robust.cases.case import Cases, Entry, finding_indices
from robust.cases.entries import EntryMaker, check_unique, digest_of_file, read_case
from robust.cases.formats import SUFFIXES, is_dicom, is_image
from robust.cases.split_names import SPLITS, find_split
from robust.cases.tables.beside import check_no_label_table, table_remedy
from robust.cases.tables.groups import group_in_path
from robust.cases.tables.shares import are_shares, draw_splits, drawn_text
from robust.cases.tables.splits import choose_split
from robust.cases.walk import list_folder, walk_files
from robust.errors import InputError, did_you_mean


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
    none. `window` chooses a view of DICOM files. A table that names the images is an error, since
    it and not the folders has their labels, unless `folders_alone` or `classes` say otherwise.
    `splits` are shares of the patients, drawn with `split_seed`, where no folders divide the set.
    """
    name = root.resolve().name
    if splits is not None and not isinstance(splits, Mapping):
        raise InputError(f"[data] splits = {splits!r} needs a table; class folders take shares")
    if classes is None and not folders_alone:
        check_no_label_table(root)
    folder, wanted = _find_split(root, split, splits)
    names, images = _find_images(folder, classes)
    if group not in (None, "none"):
        raise InputError(
            f"group = {group!r} names a column, but {name} is a folder of class folders; "
            f'give group_pattern, or group = "none"'
        )
    # From all splits, so that a patient has one pseudonym in each.
    everything = (path for path in walk_files(root) if is_image(path) or is_dicom(path))
    maker = EntryMaker([path for _, path in images], keep_names, window, everything)
    if group is None and group_pattern is None and not (images and maker.dicom):
        raise InputError(
            f"{name} does not name patients: give group_pattern, a regular expression whose "
            f'first bracket is the patient in the file name, or set group = "none"'
        )
    keys = [path.relative_to(root).as_posix() for _, path in images]
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
        raise InputError(f"no images under {folder}; looked for {', '.join(SUFFIXES)} and DICOM")
    return Cases(
        source=f"a folder of images{said}",
        classes=names,
        entries=tuple(entries),
        read=read_case,
        findings=finding_indices(names, findings),
        grouped=group is None,
        split=wanted or "all",
        showable=not maker.dicom,
        digest=digest_of_file,
    )


def _find_images(
    folder: Path, classes: Sequence[str] | None
) -> tuple[tuple[str, ...], list[tuple[int, Path]]]:
    """The classes, and every image with its label; InputError where a subfolder is no class."""
    found = [
        one.path.name
        for one in list_folder(folder)
        if one.is_folder and not one.path.name.startswith(".")
    ]
    if not found:
        raise InputError(
            f"{folder} has neither cases.csv nor subfolders; make one subfolder for each class, "
            f"or write a cases.csv with the columns file, label, group and split"
            f"{table_remedy(folder)}"
        )
    names = tuple(classes) if classes is not None else tuple(found)
    for name in found:
        if name not in names:
            raise InputError(
                f"folder {name!r} is not among the classes; {did_you_mean(name, names)}"
            )
    once: dict[str, Path] = {}
    images = [
        (label, path)
        for label, name in enumerate(names)
        for path in (walk_files(folder / name, once) if name in found else ())
        if is_image(path) or is_dicom(path)
    ]
    return names, images


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
    folders = {one.path.name for one in list_folder(root) if one.is_folder}
    present = [name for name in SPLITS if name in folders]
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
