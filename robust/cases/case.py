"""`Case`, one image as a reader sees it, and `Cases`, many of them with their pixels on demand."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from robust.cases.stored_pixels import Pixels as Pixels
from robust.cases.stored_pixels import Stored as Stored
from robust.errors import InputError, did_you_mean

MOST_CLASSES = 10_000
"""A number beyond this is no class: some other column was named as the label."""


@dataclass(frozen=True)
class Picture:
    """Stored pixels of a file that says itself how they are shown."""

    pixels: Pixels
    stored: Stored


@dataclass(frozen=True)
class Case:
    """One image with what is known of it."""

    id: str
    """Identifies the case within its source; a pseudonym where a file name could name a patient."""
    label: int
    group: str
    """The patient or lesion: the unit that splits and intervals respect."""
    image: Tensor
    """`(c, h, w)` float32 in [0, 1], as displayed."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """The columns that the plan names for subgroups, no others."""
    stored: Stored = field(default_factory=Stored)


@dataclass(frozen=True, slots=True)
class Entry:
    """A case without its pixels."""

    id: str
    label: int
    group: str
    metadata: Mapping[str, str]
    where: Any
    """What the reader needs to find the pixels."""
    size: int = 0
    """Bytes of the file, so that another file under the same name is noticed."""


@dataclass(frozen=True)
class Cases(Sequence[Case]):
    """An ordered set of cases. The index is in memory, pixels are read when asked for."""

    source: str
    """What the cases are, in words for the report: no path."""
    classes: tuple[str, ...]
    entries: tuple[Entry, ...]
    read: Callable[[Any], Pixels | Picture]
    """From `Entry.where` to stored pixels; raises InputError that names the file."""
    findings: tuple[int, ...] = ()
    """The classes that are findings; empty where the question has none."""
    grouped: bool = True
    """False where each image is its own group for want of a group column."""
    phantom: bool = False
    split: str = "all"
    size: tuple[int, int] | None = None
    """Resize to (h, w) when read; the attacker then works on the resized image."""
    grey: bool = False
    """Read colour files as grey (ITU-R 601), for X-rays saved as colour."""
    noun: str = "images"
    """What the images are, in the plural, for the sentences of a report."""
    showable: bool = True
    """False where pixels may carry a patient's name: pictures then need the plan's word."""

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: Any) -> Any:
        """The case at an index, its pixels read now; a slice gives `Cases`."""
        if isinstance(index, slice):
            return self.select(range(*index.indices(len(self))))
        entry = self.entries[index]
        picture = self.picture(index)
        image = picture.stored.image(picture.pixels)
        if self.grey and len(image) == 3:
            image = (image * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(0, keepdim=True)
        if self.size is not None and tuple(image.shape[1:]) != self.size:
            image = F.interpolate(
                image[None], self.size, mode="bilinear", antialias=True, align_corners=False
            )[0].clamp(0, 1)
        return Case(entry.id, entry.label, entry.group, image, entry.metadata, picture.stored)

    def picture(self, index: int) -> Picture:
        """The stored pixels at an index, read now, and how they are shown."""
        found = self.read(self.entries[index].where)
        return found if isinstance(found, Picture) else Picture(found, stored_as(found))

    def select(self, rows: Sequence[int]) -> Cases:
        """The cases at these rows, in this order."""
        return dataclasses.replace(self, entries=tuple(self.entries[i] for i in rows))

    def spread(self, limit: int) -> Cases:
        """At most so many cases, evenly over the index: sorted classes keep their shares."""
        if limit >= len(self):
            return self
        return self.select([i * len(self) // limit for i in range(limit)])

    def stream(
        self, rows: Sequence[int], ahead: int = 32, workers: int = 2
    ) -> Iterator[Case | InputError]:
        """The cases at these rows, read in the background at most `ahead` of the consumer.

        A case that cannot be read comes as the InputError that says why, in its place.
        """

        def load(row: int) -> Case | InputError:
            try:
                case: Case = self[row]
                return case
            except InputError as error:
                return error

        with ThreadPoolExecutor(workers, thread_name_prefix="cases") as pool:
            waiting: list[Future[Case | InputError]] = []
            upcoming = iter(rows)
            for row in upcoming:
                waiting.append(pool.submit(load, row))
                if len(waiting) >= ahead:
                    yield waiting.pop(0).result()
            for future in waiting:
                yield future.result()

    def fingerprint(self) -> str:
        """SHA-256 over ids, labels, groups, metadata and file sizes: the index, not the pixels."""
        digest = hashlib.sha256(json.dumps([self.classes, self.size, self.grey]).encode())
        for e in self.entries:
            line = [e.id, e.label, e.group, sorted(e.metadata.items()), e.size]
            digest.update(json.dumps(line).encode())
        return digest.hexdigest()


def stored_as(pixels: Pixels) -> Stored:
    """For files whose whole range is shown, such as PNG."""
    return Stored(8 * pixels.dtype.itemsize)


def pixel_hash(image: Tensor) -> str:
    """SHA-256 of a displayed image: equal for copies under any name."""
    return hashlib.sha256(image.numpy().tobytes()).hexdigest()


def pseudonym(text: str) -> str:
    """Twelve hex digits that stand for a file name or a patient, the same in every run."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def find_classes(names: Sequence[str], wanted: Sequence[str] | None) -> tuple[int, ...]:
    """The indices of the classes that are findings; with two classes the second by default.

    Raises InputError for a name that is no class or two, or where every class is a finding.
    """
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise InputError(f"two classes are called {twice!r}; give each its own name in classes")
    if wanted is None:
        return (1,) if len(names) == 2 else ()
    for name in wanted:
        if name not in names:
            raise InputError(f"finding {name!r} is not a class; {did_you_mean(name, names)}")
    if len(set(wanted)) == len(names):
        raise InputError("every class is named as a finding; name only those that are abnormal")
    return tuple(sorted({names.index(name) for name in wanted}))


def spread(rows: Sequence[int], limit: int) -> list[int]:
    """At most so many, evenly."""
    count = len(rows)
    return [rows[i * count // limit] for i in range(limit)] if count > limit else list(rows)
