"""`Case`, one image as displayed with its label and group; `Cases`, a data set read on demand."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal, overload

import torch
import torch.nn.functional as F
from torch import Tensor

from robust.cases.index.findings import finding_of_two
from robust.cases.index.sampling import Unit, sample
from robust.cases.masks.stored import NOT_OUTLINED as NOT_OUTLINED
from robust.cases.masks.stored import StoredMask
from robust.cases.stored_pixels import Pixels as Pixels
from robust.cases.stored_pixels import Stored as Stored
from robust.cases.volumes.grid import Grid, check_same_grid
from robust.errors import InputError, did_you_mean

MOST_CLASSES = 10_000
"""A larger number is not a class: another column was named as the label."""


@dataclass(frozen=True)
class StoredImage:
    """Stored pixels, and how they are displayed."""

    pixels: Pixels
    """`(h, w)`, `(h, w, c)`, or those of a volume `(d, h, w, c)`."""
    stored: Stored
    grid: Grid | None = None
    """None where the file does not say where its pixels lie."""

    @property
    def space(self) -> tuple[int, ...]:
        """The axes of its pixels without that of channels."""
        return self.pixels.shape[: 3 if self.pixels.ndim == 4 else 2]


@dataclass(frozen=True)
class Case:
    """One image with its label, group and metadata."""

    id: str
    """Identifies the case within its source; a pseudonym where a file name could name a patient."""
    label: int
    """Number of the class; 0 where there is a mask."""
    group: str
    """The patient or lesion: the unit that splits and intervals respect."""
    image: Tensor
    """`(c, h, w)` or, of a volume, `(c, d, h, w)`, float32 in [0, 1], as displayed."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """The columns that the plan names for subgroups, no others."""
    stored: Stored = field(default_factory=Stored)
    mask: Tensor | None = None
    """uint8: the class number of each pixel `(h, w)`, of each voxel `(d, h, w)`; or, of structures
    that overlap, 0 or 1 for each of them `(k, h, w)`, `(k, d, h, w)`. `NOT_OUTLINED` does not
    count. None where the label is a class."""
    target_mask: Tensor | None = None
    """In the same form, what an attacker with the goal `mask` wants to be predicted."""
    spacing: tuple[float, ...] | None = None
    """Millimetres from pixel to pixel along each axis of the mask; None where it is not known."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A case without its pixels."""

    id: str
    label: int
    group: str
    metadata: Mapping[str, str]
    location: Any
    """Where the pixels are, in the form that `Cases.read` takes."""
    size: int = 0
    """Bytes of the files, so that a changed file of the same name is noticed."""
    mask: Any = None
    """Where the mask is, in the form that `Cases.read_mask` takes; None without one."""
    target_mask: Any = None
    """As `mask`, of what an attacker wants to be predicted."""


@dataclass(frozen=True)
class CaseNotes:
    """What was seen of a data set as it was opened: of all of it, not of the cases alone."""

    left_out: Mapping[str, int] = field(default_factory=dict)
    """By suffix: how many files with images were left out, since their format is not read."""
    groups_alike: int = 0
    """How many groups differ from another one in spelling alone (`P7`, `p-07`)."""
    finer_than_names: tuple[int, int] = (0, 0)
    """Where each image is a group of its own, and file names differ at their end alone: the number
    of groups that the names would make, and of images; else zeros."""


@dataclass(frozen=True)
class Cases(Sequence[Case]):
    """An ordered set of cases. The index is in memory, pixels are read when asked for."""

    source: str
    """What the cases are, in words for the report; it contains no path."""
    classes: tuple[str, ...]
    entries: tuple[Entry, ...]
    read: Callable[[Any], Pixels | StoredImage]
    """From `Entry.location` to stored pixels, with their display where that is not the whole range.
    Raises InputError that names the file."""
    findings: tuple[int, ...] = ()
    """Numbers of the classes that are findings; empty where there are none."""
    grouped: bool = True
    """False where no patients are known and each image is its own group."""
    phantom: bool = False
    """True for synthetic images."""
    split: str = "all"
    size: tuple[int, int] | None = None
    """Resize to (h, w) when read; the attacker then works on the resized image."""
    grey: bool = False
    """Read colour files as grey (ITU-R 601), for X-rays saved as colour."""
    noun: str = "images"
    """What a report calls the images, in the plural."""
    showable: bool = True
    """False where pixels may show a patient's name: example images then need the plan's consent."""
    check: Callable[[Entry, Case], None] | None = None
    """Called with every case that is read; raises InputError for one that may not be used."""
    digest: Callable[[Any], str] | None = None
    """From `Entry.location`, or where a mask is, to the SHA-256 of what lies there; None: that of
    the pixels as read."""
    depth: int | None = None
    """Bits of the values in image files; None: as many as the file has room for."""
    notes: CaseNotes = field(default_factory=lambda: CaseNotes())
    outlines: Literal["exclusive", "overlapping"] | None = None
    """Of masks: whether a pixel belongs to one class, the first being the background, or to any
    number of structures; None where labels are classes."""
    read_mask: Callable[[Any, tuple[int, ...]], StoredMask] | None = None
    """From `Entry.mask` or `Entry.target_mask` and the axes of the image `(*space)` to the mask of
    that size, in the form of `Case.mask`. Raises InputError that names the file."""
    spacing: tuple[float, ...] | None = None
    """Millimetres from pixel to pixel, of files that do not say it."""

    def __len__(self) -> int:
        return len(self.entries)

    @overload
    def __getitem__(self, index: int) -> Case: ...

    @overload
    def __getitem__(self, index: slice) -> Cases: ...

    def __getitem__(self, index: int | slice) -> Case | Cases:
        """The case at an index, its pixels read now; a slice gives `Cases`."""
        if isinstance(index, slice):
            return self.select(range(*index.indices(len(self))))
        entry = self.entries[index]
        found = self.stored_image(index)
        image = found.stored.image(found.pixels)
        if self.grey and len(image) == 3:
            image = (image * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(0, keepdim=True)
        mask, target = (self._mask(one, found) for one in (entry.mask, entry.target_mask))
        spacing = self._spacing(found, entry.id)
        if self.size is not None and tuple(image.shape[1:]) != self.size:
            if image.ndim == 4:
                raise InputError(f"[data] size = {self.size} is for images, {entry.id} is a volume")
            if spacing is not None:
                shares = zip(spacing, image.shape[1:], self.size)
                spacing = tuple(old * before / after for old, before, after in shares)
            image = F.interpolate(
                image[None], self.size, mode="bilinear", antialias=True, align_corners=False
            )[0].clamp(0, 1)
            mask, target = (_resized(one, self.size) for one in (mask, target))
        case = Case(
            entry.id,
            entry.label,
            entry.group,
            image,
            entry.metadata,
            found.stored,
            mask,
            target,
            spacing,
        )
        if self.check is not None:
            self.check(entry, case)
        return case

    def _mask(self, location: Any, image: StoredImage) -> Tensor | None:
        if location is None or self.read_mask is None:
            return None
        found = self.read_mask(location, image.space)
        check_same_grid(image.grid, found.grid, location)
        return torch.from_numpy(found.values)

    def _spacing(self, image: StoredImage, name: str) -> tuple[float, ...] | None:
        if image.grid is not None:
            return image.grid.spacing
        if self.spacing is not None and len(self.spacing) != len(image.space):
            raise InputError(
                f"[data] spacing has {len(self.spacing)} numbers, {name} {len(image.space)} axes"
            )
        return self.spacing

    def stored_image(self, index: int) -> StoredImage:
        """The stored pixels at an index, read now, and how they are displayed; InputError."""
        location = self.entries[index].location
        found = self.read(location)
        if isinstance(found, StoredImage):
            return found
        return StoredImage(found, stored_as(found, self.depth, location))

    def content(self, index: int) -> str:
        """SHA-256 in hex digits of what lies at an index now, so that a change of it is noticed.

        It is that of the file's bytes where there is a file; with a mask, of both. Raises
        InputError.
        """
        entry = self.entries[index]
        if self.digest is not None:
            found = self.digest(entry.location)
        else:
            image = self.stored_image(index)
            layout = f"{image.pixels.shape} {image.pixels.dtype.str} {image.stored}\n"
            found = hashlib.sha256(layout.encode() + image.pixels.tobytes()).hexdigest()
        for mask in (entry.mask, entry.target_mask):
            if mask is not None:
                both = f"{found} {self._mask_digest(index, mask)}"
                found = hashlib.sha256(both.encode()).hexdigest()
        return found

    def _mask_digest(self, index: int, location: Any) -> str:
        if self.digest is not None:
            return self.digest(location)
        assert self.read_mask is not None
        values = self.read_mask(location, self.stored_image(index).space).values
        return hashlib.sha256(f"{values.shape}\n".encode() + values.tobytes()).hexdigest()

    def select(self, rows: Sequence[int]) -> Cases:
        """The cases at these rows, in this order."""
        return dataclasses.replace(self, entries=tuple(self.entries[i] for i in rows))

    def sample(self, limit: int, seed: int = 0) -> Cases:
        """At most `limit` cases in their order, drawn by seed, stratified by class and group."""
        if limit >= len(self):
            return self
        return self.select(sample_rows(self.entries, range(len(self)), limit, seed))

    def stream(
        self, rows: Sequence[int], ahead: int = 32, workers: int = 2
    ) -> Iterator[Case | InputError]:
        """The cases at these rows in order, read in the background, at most `ahead` in advance.

        A case that cannot be read is replaced by its InputError.
        """

        def load(row: int) -> Case | InputError:
            try:
                return self[row]
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
        read_as: list[Any] = [
            self.classes,
            self.size,
            self.grey,
            *([self.depth] if self.depth else []),
        ]
        read_as += [[self.outlines, self.spacing]] if self.outlines or self.spacing else []
        digest = hashlib.sha256(json.dumps(read_as).encode())
        for e in self.entries:
            line = [e.id, e.label, e.group, sorted(e.metadata.items()), e.size]
            digest.update(json.dumps(line).encode())
        return digest.hexdigest()


def stored_as(pixels: Pixels, depth: int | None = None, where: object = "the image") -> Stored:
    """The display of pixels whose whole range is shown, such as those of a PNG file.

    With `depth` that of values of so many bits; InputError, naming `where` they come from, where
    the pixels have fewer bits or a value has more.
    """
    bits = 8 * pixels.dtype.itemsize
    if depth is None:
        return Stored(bits)
    if depth > bits:
        raise InputError(f"{where} has {bits} bits a value, [data] depth = {depth}; remove depth")
    highest = int(pixels.max(initial=0))
    if highest >= 1 << depth:
        raise InputError(
            f"{where} holds the value {highest}, more than depth = {depth} bits in [data] can; "
            f"give the depth of these images"
        )
    return Stored(depth)


def _resized(mask: Tensor | None, size: tuple[int, int]) -> Tensor | None:
    """To (h, w), each pixel that of the nearest one before."""
    if mask is None:
        return None
    stacked = mask if mask.ndim == 3 else mask[None]
    resized = F.interpolate(stacked[None], size, mode="nearest-exact")[0]
    return resized if mask.ndim == 3 else resized[0]


def pixel_hash(image: Tensor) -> str:
    """SHA-256 of a displayed image: equal for copies under any name."""
    return hashlib.sha256(image.numpy().tobytes()).hexdigest()


def finding_indices(
    names: Sequence[str], findings: Sequence[str] | None, *, in_order: bool = False
) -> tuple[int, ...]:
    """The indices of the classes that are findings; none by default where they are not two.

    Of two classes their names tell which one it is, or their order where it means something
    (`in_order`: numbers, or the order in which the user named them). Raises InputError for an
    unknown name, a class named twice, or where every class is a finding.
    """
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise InputError(f"two classes are called {twice!r}; give each its own name in classes")
    if findings is None:
        found = finding_of_two(names, in_order=in_order) if len(names) == 2 else None
        return () if found is None else (found,)
    if list(findings) == ["none"] and "none" not in names:
        return ()
    for name in findings:
        if name not in names:
            raise InputError(f"finding {name!r} is not a class; {did_you_mean(name, names)}")
    if len(set(findings)) == len(names):
        raise InputError("every class is named as a finding; name only the abnormal ones")
    return tuple(sorted({names.index(name) for name in findings}))


def sample_rows(
    entries: Sequence[Entry | Case], rows: Sequence[int], limit: int, seed: int = 0
) -> list[int]:
    """At most `limit` of these rows of `entries`, drawn and stratified as by `Cases.sample`."""
    own = [entries[row] for row in rows]
    units = [Unit(entry.id, entry.label, entry.group) for entry in own]
    return [rows[place] for place in sample(units, limit, seed)]
