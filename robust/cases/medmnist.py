"""Reads an official MedMNIST file (Yang et al. 2023, arXiv 2110.14795): all splits in one npz."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robust.cases.case import MOST_CLASSES, Cases, Entry, Pixels, finding_indices
from robust.cases.formats import DOWNSAMPLE, MOST_SAMPLES
from robust.cases.npz import load_array
from robust.cases.split_names import find_split
from robust.errors import InputError

NOUNS = {
    "pneumoniamnist": "chest X-rays",
    "chestmnist": "chest X-rays",
    "retinamnist": "fundus photographs",
    "dermamnist": "dermoscopy images",
}
"""What a report calls the images, by the name that the file begins with."""
NAMES = (
    *("pathmnist", "chestmnist", "dermamnist", "octmnist", "pneumoniamnist", "retinamnist"),
    *("breastmnist", "bloodmnist", "tissuemnist", "organamnist", "organcmnist", "organsmnist"),
)
"""Public names; a file of another name may be called after a patient or a hospital."""
COLUMNS = {
    "chestmnist": (
        *("atelectasis", "cardiomegaly", "effusion", "infiltration", "mass", "nodule"),
        *("pneumonia", "pneumothorax", "consolidation", "edema", "emphysema", "fibrosis"),
        *("pleural", "hernia"),
    )
}
"""Published names of the label columns of files that have several."""
MOST_IMAGES = 1_000_000
"""Of one split; each takes a record in memory."""


def open_medmnist(
    path: Path,
    *,
    split: str | None = None,
    label: str | None = None,
    classes: Sequence[str] | None = None,
    findings: Sequence[str] | None = None,
    group: str | None = None,
) -> Cases:
    """The cases of one split: `<split>_images`, with column `label` of `<split>_labels`.

    A file with several label columns is an error unless one is named, by number or published name.
    MedMNIST gives no patients: the plan must say `group = "none"`.
    """
    if group != "none":
        raise InputError(
            f'{path.name} does not name patients; set group = "none" (each image its own group)'
        )
    wanted = _split(path, split or "test")
    images = load_array(path, f"{wanted}_images")
    numbers, column = _read_labels(path, wanted, label)
    shown = images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (1, 3))
    if images.dtype != np.uint8 or not shown or len(images) != len(numbers):
        raise InputError(
            f"{path.name}: {wanted}_images must be uint8 (n, h, w) or (n, h, w, 3) with one label "
            f"each; it is {images.dtype} {images.shape} with {len(numbers)} labels"
        )
    if images[0].size > MOST_SAMPLES or len(images) > MOST_IMAGES:
        raise InputError(
            f"{path.name}: {wanted}_images is {images.shape}; at most {MOST_IMAGES} images of "
            f"{MOST_SAMPLES // 1_000_000} million values are read: {DOWNSAMPLE}"
        )
    named = (f"no {column}", column) if column else ()
    names = tuple(classes or named or (str(i) for i in range(max(2, max(numbers) + 1))))
    if max(numbers) >= len(names):
        raise InputError(
            f"{path.name}: label {max(numbers)} is out of range for the {len(names)} classes "
            f"{', '.join(names)}; name more classes"
        )

    def read(row: int) -> Pixels:
        pixels: Pixels = np.array(images[row])
        return pixels

    def digest(row: int) -> str:
        return hashlib.sha256(read(row).tobytes()).hexdigest()

    ids = [f"{wanted}-{i}" for i in range(len(numbers))]
    return Cases(
        source=_source(path.stem),
        classes=names,
        entries=tuple(Entry(i, n, i, {}, row) for row, (i, n) in enumerate(zip(ids, numbers))),
        read=read,
        findings=finding_indices(names, findings),
        grouped=False,
        split=wanted,
        digest=digest,
        noun=next((noun for name, noun in NOUNS.items() if path.stem.startswith(name)), "images"),
    )


def medmnist_findings(
    path: Path, label: str | None = None, **options: Any
) -> dict[str, Callable[[], Cases]]:
    """What opens the cases of each label column, by its published name or its number."""
    if label is not None:
        raise InputError(f"[data] label = {label!r} names one finding of {path.name}; leave it out")
    names = _columns(path, _label_array(path, _split(path, options.get("split") or "test")))
    return {name: functools.partial(open_medmnist, path, label=name, **options) for name in names}


def _split(path: Path, wanted: str) -> str:
    """The split that is meant: `val` under any of its names."""
    return find_split(wanted, ("train", "val", "test")) or wanted


def _label_array(path: Path, split: str) -> np.ndarray[Any, Any]:
    labels = load_array(path, f"{split}_labels")
    if labels.ndim not in (1, 2) or not labels.size or labels.dtype.kind not in "iu":
        raise InputError(
            f"{path.name}: {split}_labels must be whole numbers (n,) or (n, columns); "
            f"it is {labels.dtype} {labels.shape}"
        )
    return labels.reshape(len(labels), -1)


def _columns(path: Path, labels: np.ndarray[Any, Any]) -> tuple[str, ...]:
    """The name of each label column: as published, else its number."""
    published = COLUMNS.get(path.stem.partition("_")[0], ())
    if len(published) == labels.shape[1]:
        return published
    return tuple(str(i) for i in range(labels.shape[1]))


def _read_labels(path: Path, split: str, column: str | None) -> tuple[list[int], str]:
    """One column of the labels of a split, and its published name or nothing; InputError."""
    labels = _label_array(path, split)
    names = _columns(path, labels)
    if column is None and len(names) > 1:
        raise InputError(
            f"{path.name} has {len(names)} label columns; name the one to audit: --label "
            f"{names[0]}, or label in [data]; there are: {', '.join(names)}"
        )
    column = "0" if column is None else column
    place = names.index(column) if column in names else int(column) if column.isdigit() else -1
    if not 0 <= place < len(names):
        raise InputError(
            f"{path.name} has label columns 0 to {labels.shape[1] - 1}; {column!r} is not among "
            f"them"
        )
    numbers = [int(v) for v in labels[:, place]]
    if min(numbers) < 0 or max(numbers) >= MOST_CLASSES:
        odd = min(numbers) if min(numbers) < 0 else max(numbers)
        raise InputError(
            f"{path.name}: label {odd} is out of range; labels are whole numbers from 0 that "
            f"number the classes"
        )
    return numbers, "" if names[place].isdigit() else names[place]


def _source(stem: str) -> str:
    """What the cases are, for a file of this name; any other name than a public one stays out."""
    name, _, pixels = stem.partition("_")
    public = name in NAMES and (not pixels or pixels in ("64", "128", "224"))
    return f"MedMNIST {stem}" if public else "a file in the form of MedMNIST"
