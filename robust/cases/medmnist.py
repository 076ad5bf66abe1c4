"""Reads an official MedMNIST file (Yang et al. 2023, arXiv 2110.14795): all splits in one npz."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from robust.cases.case import MOST_CLASSES, Cases, Entry, Pixels, finding_indices
from robust.cases.formats import DOWNSAMPLE, MOST_SAMPLES
from robust.cases.npz import load_array
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
MOST_IMAGES = 1_000_000
"""Of one split; each takes a record in memory."""


def open_medmnist(
    path: Path,
    *,
    split: str | None = None,
    label: str = "0",
    classes: Sequence[str] | None = None,
    findings: Sequence[str] | None = None,
    group: str | None = None,
) -> Cases:
    """The cases of one split: `<split>_images`, with column `label` of `<split>_labels`.

    MedMNIST gives no patients: the plan must say `group = "none"`.
    """
    if group != "none":
        raise InputError(
            f'{path.name} does not name patients; set group = "none" (each image its own group)'
        )
    wanted = split or "test"
    images = load_array(path, f"{wanted}_images")
    numbers = _read_labels(path, wanted, label)
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
    names = tuple(classes or (str(i) for i in range(max(2, max(numbers) + 1))))
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
        findings=finding_indices(names, findings, in_order=True),
        grouped=False,
        split=wanted,
        digest=digest,
        noun=next((noun for name, noun in NOUNS.items() if path.stem.startswith(name)), "images"),
    )


def _read_labels(path: Path, split: str, column: str) -> list[int]:
    """One column of the labels of a split; InputError."""
    labels = load_array(path, f"{split}_labels")
    if labels.ndim not in (1, 2) or not labels.size or labels.dtype.kind not in "iu":
        raise InputError(
            f"{path.name}: {split}_labels must be whole numbers (n,) or (n, columns); "
            f"it is {labels.dtype} {labels.shape}"
        )
    labels = labels.reshape(len(labels), -1)
    if not column.isdigit() or int(column) >= labels.shape[1]:
        raise InputError(
            f"{path.name} has label columns 0 to {labels.shape[1] - 1}; {column!r} is not among "
            f"them"
        )
    numbers = [int(v) for v in labels[:, int(column)]]
    if min(numbers) < 0 or max(numbers) >= MOST_CLASSES:
        odd = min(numbers) if min(numbers) < 0 else max(numbers)
        raise InputError(
            f"{path.name}: label {odd} is out of range; labels are whole numbers from 0 that "
            f"number the classes"
        )
    return numbers


def _source(stem: str) -> str:
    """What the cases are, for a file of this name; any other name than a public one stays out."""
    name, _, pixels = stem.partition("_")
    public = name in NAMES and (not pixels or pixels in ("64", "128", "224"))
    return f"MedMNIST {stem}" if public else "a file in the form of MedMNIST"
