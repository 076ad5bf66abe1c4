"""What the numbers in the mask files of a data set mean: classes, structures, not outlined."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robust.cases.masks.numbers import read_mask_file
from robust.cases.masks.stored import BACKGROUND, NOT_OUTLINED, StoredMask
from robust.cases.volumes.grid import Grid, check_same_grid
from robust.cases.volumes.kept import read_once
from robust.errors import InputError, excerpt

MOST_STRUCTURES = 200
MOST_UNNAMED = 32
"""Highest class number where nobody names the classes; a higher one is rather a grey level."""
_LEVELS = (255, 65535)
"""Values that mean the structure in files that hold one, drawn in white."""
_WRONG = NOT_OUTLINED - 1
_SHOWN = 5

Numbers = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class MaskPlace:
    """Where the mask of an image lies: a file for each mask column, or one of all."""

    paths: tuple[Path | None, ...]
    """None where a structure is absent and no file says so."""
    axis: int | None = None
    """Along which the slice `index` is cut; None: the whole mask."""
    index: int = 0
    image: Path | None = None
    """Where the image lies, to whose slices those of a DICOM segmentation belong."""

    def __str__(self) -> str:
        return str(next((path for path in self.paths if path is not None), "an empty mask"))


@dataclass(frozen=True)
class MaskColumn:
    """What the files of one mask column hold."""

    name: str
    structures: int = 1
    """Class numbers from 1 on."""
    top: int = 1
    """The number that means the only structure: 255 where it is drawn in white."""

    def numbers(self, values: npt.NDArray[Any], path: Path) -> Numbers:
        """Class numbers, and `NOT_OUTLINED`; InputError for any other value."""
        table = np.full(int(values.max(initial=0)) + 1, _WRONG, np.uint8)
        table[:1] = 0
        if self.top > 1:
            table[self.top : self.top + 1] = 1
        else:
            known = min(len(table), self.structures + 1)
            table[:known] = np.arange(known)
            table[NOT_OUTLINED : NOT_OUTLINED + 1] = NOT_OUTLINED
        found: Numbers = table[values]
        wrong = found == _WRONG
        if wrong.any():
            others = np.unique(values[wrong])
            shown = ", ".join(map(str, others[:_SHOWN])) + (", ..." if len(others) > _SHOWN else "")
            raise InputError(f"{path} holds {shown}, {self._meaning()}")
        return found

    def _meaning(self) -> str:
        if self.top > 1:
            return f"but other masks of {excerpt(self.name)} only 0 and {self.top}; draw them alike"
        one = self.structures == 1
        return (
            f"but {'one structure is' if one else f'{self.structures} structures are'} known, so "
            f"that 0 to {self.structures} and 255 (not outlined) may occur; name more with classes"
        )


@dataclass(frozen=True)
class MaskForm:
    """How the masks of a data set are read."""

    columns: tuple[MaskColumn, ...]
    overlapping: bool
    classes: tuple[str, ...]
    """Those of `Cases.classes`: the background first unless structures may overlap."""

    def read(self, place: MaskPlace, shape: tuple[int, ...]) -> StoredMask:
        """The mask of an image of this shape `(*space)`, in the form of `Case.mask`; InputError."""
        parts: list[Numbers] = []
        grid: Grid | None = None
        for column, path in zip(self.columns, place.paths, strict=True):
            if path is None:
                parts.append(np.zeros(shape, np.uint8))
                continue
            found = _read(path, place)
            _check_shape(found, shape, path)
            check_same_grid(grid, found.grid, path)
            grid = grid or found.grid
            parts.append(column.numbers(found.values, path))
        values = self._stacked(parts) if self.overlapping else self._joined(parts, place)
        return StoredMask(values, grid)

    def _stacked(self, parts: Sequence[Numbers]) -> Numbers:
        return np.stack(
            [
                np.where(part == NOT_OUTLINED, np.uint8(NOT_OUTLINED), np.uint8(part == number))
                for column, part in zip(self.columns, parts)
                for number in range(1, column.structures + 1)
            ]
        )

    def _joined(self, parts: Sequence[Numbers], place: MaskPlace) -> Numbers:
        joined, first = parts[0].copy(), self.columns[0].structures
        for column, part in zip(self.columns[1:], parts[1:]):
            inside = (part > 0) & (part != NOT_OUTLINED)
            if ((joined > 0) & (joined != NOT_OUTLINED) & inside).any():
                raise InputError(
                    f"{place}: a pixel lies in {excerpt(column.name)} and in another structure; "
                    f"set overlap = true, or redraw the mask"
                )
            joined = np.where(part == NOT_OUTLINED, part, joined)
            joined = np.where(inside, part + np.uint8(first), joined)
            first += column.structures
        return joined


def _read(path: Path, place: MaskPlace) -> StoredMask:
    if place.axis is None:
        return read_mask_file(path, place.image)
    whole = read_once(read_mask_file, path, place.image)
    if whole.values.ndim != 3:
        raise InputError(f"{path} is a flat mask, its image a volume; give a mask of each voxel")
    if place.index >= whole.values.shape[place.axis]:
        raise InputError(
            f"{path} has {whole.values.shape[place.axis]} slices, its image more; bring both to "
            f"one size"
        )
    return StoredMask(np.take(whole.values, place.index, place.axis), whole.grid)


def _check_shape(mask: StoredMask, shape: tuple[int, ...], path: Path) -> None:
    if mask.values.shape != shape:
        here, there = (" x ".join(map(str, one)) for one in (mask.values.shape, shape))
        raise InputError(
            f"{path} is a mask of {here} pixels, its image has {there}; bring both to one size"
        )


def find_form(
    names: Sequence[str],
    samples: Sequence[Iterable[MaskPlace]],
    classes: Sequence[str] | None,
    overlap: bool | None,
) -> MaskForm:
    """The form of masks from some of their files; InputError where they cannot be masks.

    `names` are those of the mask columns, `samples` some masks of each, of one file. `classes` name
    the structures, perhaps the background before them.
    """
    overlapping = len(names) > 1 if overlap is None else overlap
    named = None if classes is None else tuple(classes)
    if named and not overlapping and named[0].casefold() == BACKGROUND:
        named = named[1:]
    if named is not None and not 1 <= len(named) <= MOST_STRUCTURES:
        raise InputError(
            f"[data] classes names {len(named)} structures; masks hold 1 to {MOST_STRUCTURES}"
        )
    columns = tuple(
        _look(name, paths, known=named is not None) for name, paths in zip(names, samples)
    )
    if named is not None:
        columns = _as_many(columns, len(named))
    found = named or tuple(
        f"{'structure' if len(names) == 1 else column.name} {number}"
        if len(names) == 1 or column.structures > 1
        else column.name
        for column in columns
        for number in range(1, column.structures + 1)
    )
    return MaskForm(columns, overlapping, found if overlapping else (BACKGROUND, *found))


def _look(name: str, places: Iterable[MaskPlace], known: bool) -> MaskColumn:
    """The column of these files; `known` says that its structures are named."""
    seen: set[int] = set()
    example, problem = None, None
    for place in places:
        (path,) = place.paths
        assert path is not None  # a file that is there
        try:
            values = set(np.unique(read_mask_file(path, place.image).values).tolist())
        except InputError as error:  # said where it is read, so that broken ones can be skipped
            problem = problem or error
            continue
        example = path if example is None or max(values) > max(seen) else example
        seen |= values
    if problem is not None and not seen:
        raise problem
    tops = [top for top in _LEVELS if seen - {0} == {top}]
    if tops:
        return MaskColumn(name, 1, tops[0])
    highest = max(seen - {0, NOT_OUTLINED}, default=1)
    if highest > MOST_UNNAMED and not known:
        raise InputError(
            f"{example} holds {highest} as a class number, beside {len(seen) - 1} other values; "
            f"name the classes in order with classes, or save one structure as 0 and 255 without "
            f"blur"
        )
    return MaskColumn(name, highest)


def _as_many(columns: tuple[MaskColumn, ...], count: int) -> tuple[MaskColumn, ...]:
    """The columns with `count` structures together; InputError where that cannot be."""
    if len(columns) == 1 and (count == 1 or columns[0].top == 1):
        return (replace(columns[0], structures=count),)
    found = sum(column.structures for column in columns)
    if len(columns) == count:
        return tuple(replace(column, structures=1) for column in columns)
    if found != count:
        raise InputError(
            f"[data] classes names {count} structures, the masks hold {found}; name each"
        )
    return columns


def check_any_structure(form: MaskForm, places: Iterable[MaskPlace]) -> None:
    """InputError where no pixel of any mask lies in a structure; files that are broken may do."""
    count = 0
    for place in places:
        count += 1
        for column, path in zip(form.columns, place.paths, strict=True):
            if path is None:
                continue
            try:
                numbers = column.numbers(read_mask_file(path, place.image).values, path)
            except InputError:
                return
            if ((numbers > 0) & (numbers != NOT_OUTLINED)).any():
                return
    raise InputError(
        f"none of the {count} masks holds a structure: every pixel is 0; name another mask column, "
        f"or check how the masks were saved"
    )
