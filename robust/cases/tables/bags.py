"""Bags: images of one patient, or with one value in a column, as one case (Xu et al. 2014)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from robust.cases.case import Case, Cases, Entry, Pixels
from robust.errors import InputError, did_you_mean, excerpt

Rows = tuple[int, ...]
"""Rows of the images of a bag: where its pixels are."""


@dataclass(frozen=True)
class _Stack:
    """Reads the images of a bag one below the other, at 8 bits, black where it has fewer."""

    images: Cases
    height: int
    """Of the largest bag, in images."""

    def __call__(self, rows: Rows) -> Pixels:
        found = [self.images[row] for row in rows]
        shapes = {tuple(case.image.shape) for case in found}
        if len(shapes) > 1 or found[0].image.ndim != 3:
            raise InputError(
                f"the bag of {found[0].id} has images of several sizes, or volumes; set size in "
                f"[data], and grey = true where some are grey"
            )
        levels = [_levels(case) for case in found]
        missing = self.height - len(levels)
        stacked = np.concatenate([*levels, *[np.zeros_like(levels[0])] * missing])
        return stacked if stacked.shape[2] > 1 else stacked[:, :, 0]

    def digest(self, rows: Rows) -> str:
        """SHA-256 of what lies at all images."""
        every = " ".join(self.images.content(row) for row in rows)
        return hashlib.sha256(f"{self.height} {every}".encode()).hexdigest()


def _levels(case: Case) -> Pixels:
    levels: Pixels = (case.image * 255).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    return levels


def cases_in_bags(images: Cases, by: str) -> Cases:
    """A case for each bag: the images of one patient (`group`), or with one value of a column.

    The column is one of the subgroups. Images keep their order. A bag has the finding where one of
    its images has it; without a finding all have one label. InputError.
    """
    if images.outlines is not None:
        raise InputError("[data] bag is for images with a class, the data have masks; remove it")
    bags: dict[str, list[int]] = {}
    for row, entry in enumerate(images.entries):
        bags.setdefault(_bag_of(entry, by), []).append(row)
    stack = _Stack(images, max((len(rows) for rows in bags.values()), default=0))
    entries = [_entry(images, name, rows) for name, rows in bags.items()]
    return replace(
        images,
        source=f"{images.source}; {len(bags)} bags of {len(images)} images",
        entries=tuple(entries),
        read=stack,
        digest=stack.digest,
        size=None,
        grey=False,
        depth=None,
        noun=f"bags of {images.noun}",
        check=None,
        read_mask=None,
    )


def _bag_of(entry: Entry, by: str) -> str:
    if by == "group":
        return entry.group
    value = entry.metadata.get(by)
    if value is None:
        raise InputError(
            f"[data] bag = {excerpt(by)!r} is neither group nor one of the subgroups; "
            f"{did_you_mean(by, ['group', *entry.metadata])}; name the column in subgroups, too"
        )
    if not value:
        raise InputError(f"{entry.id} has an empty cell in {by}; fill it in or filter it: where")
    return value


def _entry(images: Cases, name: str, rows: Sequence[int]) -> Entry:
    own = [images.entries[row] for row in rows]
    groups, labels = {one.group for one in own}, {one.label for one in own}
    if len(groups) > 1:
        raise InputError(
            f"the bag of {own[0].id} has images of {len(groups)} groups; a bag lies within one"
        )
    found = sorted(labels & set(images.findings))
    if len(labels) > 1 and len(found) != 1:
        raise InputError(
            f"the bag of {own[0].id} has images of {len(labels)} labels and not one finding among "
            f"them; name the finding in findings, or give its images one label"
        )
    label = found[0] if len(found) == 1 else min(labels)
    same = set.intersection(*(set(one.metadata.items()) for one in own))
    kept = {key: value for key, value in own[0].metadata.items() if (key, value) in same}
    metadata = {key: kept.get(key, "several") for key in own[0].metadata}
    return Entry(
        own[0].id, label, own[0].group, metadata, tuple(rows), sum(one.size for one in own)
    )
