"""`cases_from`: images, labels and groups out of tensors, arrays, loaders, data sets and lists."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, RandomSampler

from robust.cases.case import (
    Case,
    CaseNotes,
    Cases,
    Entry,
    StoredImage,
    finding_indices,
    stored_as,
)
from robust.cases.in_memory.case_list import as_held, from_case_list
from robust.cases.in_memory.masks import are_masks, as_masks, read_held_mask
from robust.cases.in_memory.pixels import as_pixels, split_images
from robust.cases.in_memory.targets import as_groups, as_labels, class_names
from robust.cases.index.spelling import spelled_alike
from robust.cases.pseudonyms import pseudonym
from robust.errors import InputError

HOW = (
    "give robust.cases_from(x, y, groups): images (n, c, h, w), as uint8 or in [0, 1], labels (n,) "
    "and the patient of each"
)
"""How cases are made in Python, for messages."""
MOST_CASES = 1_000_000
"""That are held in memory."""
_IMAGES = ("image", "images", "img", "x", "pixel_values", "input", "inputs")
_LABELS = ("label", "labels", "y", "target", "targets", "mask", "masks")
_GROUPS = ("group", "groups", "patient", "patient_id")


def cases_from(
    x: Any,
    y: Any = None,
    groups: Any = None,
    *,
    classes: Sequence[str] | None = None,
    findings: Sequence[str] | None = None,
    spacing: Sequence[float] | None = None,
) -> Cases:
    """Cases from images in memory, for `robust.audit(classifier, cases)`.

    `x` holds the images: a tensor or an array `(n, c, h, w)`, `(n, h, w, c)` or `(n, h, w)` with 1
    or 3 channels, or a list of such images, PIL images among them, whose sizes may differ. They are
    as displayed, before any normalisation: uint8 and uint16 over their whole range, floats in
    [0, 1], which are kept at 8 bits where these hold them and else at 16. Volumes are
    `(n, c, d, h, w)`. `y` are whole numbers from 0, one-hot rows, or names; or masks, class numbers
    `(n, *space)`, or 0 and 1 of structures that may overlap `(n, k, *space)`, with 255 where a
    pixel does not count. `classes` then name the structures, and `spacing` says how many
    millimetres lie between pixels along each axis. `groups` name the patient of each image; they
    become pseudonyms. Without them each image is its own group, and the report warns of that.

    In place of both, `x` may be a DataLoader without shuffling, a data set or a list of `(x, y)` or
    `(x, y, group)`, a tuple `(x, y)` or `(x, y, groups)`, a list of `Case`, or `Cases`. Raises
    InputError.
    """
    if isinstance(x, str | Path):
        raise InputError(
            f"{x} is a path, not cases in memory: cases = robust.open_cases({str(x)!r}, ...) opens "
            f'it (group = "none" where no patients are known)'
        )
    if isinstance(x, Cases):
        _require_alone("Cases", y, groups)
        return x
    if y is None and isinstance(x, tuple) and _is_columns(x):
        _require_alone("a tuple (x, y)", groups)
        x, y, groups = (*x, None)[:3]
    if y is None:
        listed = list(_members(x))
        if listed and all(isinstance(one, Case) for one in listed):
            _require_alone("a list of Case", groups)
            return from_case_list(listed, classes, findings)
        names = getattr(getattr(x, "dataset", x), "classes", None)
        if classes is None and isinstance(names, Sequence) and all(map(_is_text, names)):
            classes = tuple(names)
        images, y, own = _columns(listed)
        groups = groups if own is None else own
    else:
        images = split_images(x)
    if not images:
        raise InputError(f"there is no image; {HOW}")
    pixels = as_pixels(images)
    held = as_masks(y, pixels, classes) if are_masks(y) else None
    known = None
    if held is not None:
        names, labels = held.classes, [0] * len(images)
    else:
        labels, known = as_labels(y, len(images))
        names = class_names(labels, known, classes)
    owners = as_groups(groups, len(images))
    salt = hashlib.sha256(b"salt of images in memory\0")
    for image in pixels[:8]:
        salt.update(image.tobytes())
    ids = [str(i) for i in range(len(pixels))]
    hidden = ids if owners is None else [pseudonym(owner, salt.digest()) for owner in owners]
    stored = [StoredImage(image, stored_as(image)) for image in pixels]
    masks = (None,) * len(stored) if held is None else held.masks
    return Cases(
        source="images in memory",
        classes=names,
        entries=tuple(
            Entry(name, label, group, {}, stored[i], mask=masks[i])
            for i, (name, label, group) in enumerate(zip(ids, labels, hidden, strict=True))
        ),
        read=as_held,
        findings=()
        if held is not None
        else finding_indices(names, findings, in_order=known is None or classes is not None),
        grouped=owners is not None,
        notes=CaseNotes(groups_alike=spelled_alike(set(owners or ()))),
        spacing=None if spacing is None else tuple(map(float, spacing)),
        outlines=None if held is None else held.outlines,
        read_mask=read_held_mask,
    )


def _require_alone(what: str, *others: Any) -> None:
    if any(other is not None for other in others):
        raise InputError(f"{what} has labels and groups already; leave y and groups out")


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_columns(x: tuple[Any, ...]) -> bool:
    """Whether a tuple is `(x, y)` or `(x, y, groups)`, not two or three cases."""
    pairs = isinstance(x[0], list) and not any(isinstance(one, Case) for one in x[0])
    return len(x) in (2, 3) and (pairs or isinstance(x[0], Tensor | np.ndarray))


def _members(x: Any) -> Iterator[Any]:
    """The members of a list, a data set or a loader, in their order; batches are split up."""
    if isinstance(x, DataLoader):
        if isinstance(x.sampler, RandomSampler):
            raise InputError(
                "the DataLoader shuffles, so that no run could be continued: make it with "
                "shuffle=False, or give its data set, loader.dataset"
            )
        for batch in x:
            yield from _split_batch(batch)
    elif isinstance(x, IterableDataset) or not hasattr(x, "__getitem__"):
        if isinstance(x, Mapping) or not isinstance(x, Iterable):
            raise InputError(f"{type(x).__name__} holds no cases; {HOW}")
        yield from x
    elif isinstance(x, Mapping):
        raise InputError(f"a {type(x).__name__} holds no cases; {HOW}")
    elif isinstance(x, Tensor | np.ndarray):
        raise InputError(f"labels are missing; {HOW}")
    elif isinstance(x, Sized) and hasattr(x, "__getitem__"):
        for i in range(min(len(x), MOST_CASES)):
            yield x[i]  # a data set need not end by itself
    else:
        raise InputError(f"{type(x).__name__} has no length; {HOW}")


def _split_batch(batch: Any) -> Iterator[tuple[Any, ...]]:
    images, labels, groups = _parts(batch)
    columns = [list(split_images(images)), list(labels)]
    if groups is not None:
        columns.append(list(groups))
    if len({len(column) for column in columns}) > 1:
        raise InputError("a batch of the loader has another number of labels than of images")
    yield from zip(*columns, strict=True)


def _columns(listed: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any] | None]:
    """Images, labels and perhaps groups of a list of `(x, y)` or `(x, y, group)`."""
    rows = [_parts(one) for one in listed]
    groups = [group for *_, group in rows]
    known = sum(group is not None for group in groups)
    if known not in (0, len(rows)):
        raise InputError(f"{known} of {len(rows)} cases have a group; give all one, or none")
    return [row[0] for row in rows], [row[1] for row in rows], groups if known else None


def _parts(one: Any) -> tuple[Any, Any, Any]:
    """Image, label and group (None without one) of a case or a batch."""
    if isinstance(one, Mapping):
        found = [
            next((one[name] for name in names if name in one), None)
            for names in (_IMAGES, _LABELS, _GROUPS)
        ]
        if found[0] is None or found[1] is None:
            raise InputError(
                f"a case holds {', '.join(map(str, list(one)[:8]))}, but no image and label under "
                f"a known name; {HOW}"
            )
        return found[0], found[1], found[2]
    if isinstance(one, Case):
        raise InputError("a list of Case holds something else as well; give Case alone")
    if not isinstance(one, tuple | list) or len(one) not in (2, 3):
        raise InputError(f"a case must be (x, y) or (x, y, group), not {type(one).__name__}; {HOW}")
    return one[0], one[1], one[2] if len(one) == 3 else None
