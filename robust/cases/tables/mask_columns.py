"""Which columns of a table name masks, and the form and the files of the masks that they name."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from robust.cases.masks.form import MaskForm, MaskPlace, check_any_structure, find_form
from robust.cases.tables.columns import Column, Tables
from robust.cases.tables.columns_in_use import LABEL, ImageName, image_name, named_columns
from robust.cases.tables.image_index import ImageIndex, Located
from robust.cases.volumes.read import VolumePlace
from robust.cases.walk import file_size
from robust.errors import InputError, excerpt

MASK = "mask"
"""Name of the column that need not be named."""
_LOOKED_AT = 48
"""Files of a column that are read to learn what its numbers mean."""


@dataclass(frozen=True)
class MaskColumns:
    """Where a row has its masks: each entry of `names` gives the file of one."""

    names: tuple[ImageName, ...]
    target: tuple[ImageName, ...] = ()
    """In the same order, masks that an attacker wants to be predicted; empty without any."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns in use."""
        every = (column for name in (*self.names, *self.target) for column in name.columns)
        return tuple(dict.fromkeys(every))


def mask_columns(
    tables: Tables,
    given: str | Sequence[str] | None,
    target: str | Sequence[str] | None,
    label: object,
) -> MaskColumns | None:
    """The columns that name masks; None where labels are classes. InputError.

    Without a name, a column `mask` of a table without a column `label`.
    """
    if given is None:
        if label is not None or MASK not in tables.header or LABEL in tables.header:
            if target is not None:
                raise InputError("[data] target_mask needs masks; name their column: mask")
            return None
        given = MASK
    if label is not None:
        raise InputError("[data] give either mask or label, not both")
    names = _names(tables, given, MASK)
    targets = () if target is None else _names(tables, target, "target_mask")
    if targets and len(targets) != len(names):
        raise InputError(
            f"[data] target_mask names {len(targets)} columns and mask {len(names)}; name as many"
        )
    return MaskColumns(names, targets)


def region_column(tables: Tables, given: str) -> MaskColumns:
    """The column that names the region of each image of a class; InputError where it is missing."""
    return MaskColumns(_names(tables, given, "region"))


def _names(tables: Tables, given: str | Sequence[str], field: str) -> tuple[ImageName, ...]:
    names = tuple(image_name(tables, text) for text in named_columns(tables, given, field))
    for name in names:
        for column in name.columns:
            tables.require(column, field)
    return names


class TableMasks:
    """The masks of the rows of a table: where they lie, and how they are read."""

    def __init__(
        self,
        columns: MaskColumns,
        rows: dict[str, Column],
        index: ImageIndex,
        blank: str | None,
        images: Sequence[Located],
    ) -> None:
        """`rows` hold the cells of the columns; `blank` is the policy for an empty one.

        `images` are those of the rows.
        """
        if blank == "positive":
            raise InputError(
                '[data] blank = "positive" is for labels; an empty mask cell is "negative" (the '
                'structure is absent) or "exclude" (the image is left out)'
            )
        self._columns, self._blank, self._images = columns, blank, images
        self._masks = [index.locate(name.cells(rows)) for name in columns.names]
        self._targets = [index.locate(name.cells(rows)) for name in columns.target]

    def form(
        self, kept: Collection[int], classes: Sequence[str] | None, overlap: bool | None
    ) -> MaskForm:
        """What the masks of the table hold; InputError where those of the kept rows hold nothing.

        Files of all rows are looked at, so that it is the same for each split.
        """
        for located in (*self._masks, *self._targets):
            there = [located[row] for row in kept if located[row].key]
            if there and not any(place.found for place in there):
                raise InputError(
                    f"none of the {len(there)} masks is there: {excerpt(there[0].place, 300)} "
                    f"first; fix the column or the folder"
                )
        form = find_form(
            [
                # A template may hold a path, which no report shows.
                name.columns[0] if name.template is None else f"structure {number}"
                for number, name in enumerate(self._columns.names, 1)
            ],
            [self._some(located) for located in self._masks],
            classes,
            overlap,
        )
        places = (self.place(row) for row in kept)
        check_any_structure(form, (place for place in places if place is not None))
        return form

    def place(self, row: int) -> MaskPlace | None:
        """Where the mask of a row lies; None where the row is left out. InputError for a gap."""
        return self._place(self._masks, row, "mask")

    def target(self, row: int) -> MaskPlace | None:
        """Where the target mask of a row lies; None where there is none."""
        if not self._targets:
            return None
        if not any(located[row].key for located in self._targets):
            return None
        return self._place(self._targets, row, "target mask")

    def _place(self, columns: Sequence[Sequence[Located]], row: int, what: str) -> MaskPlace | None:
        located = [column[row] for column in columns]
        gaps = [place for place in located if not place.key]
        if gaps and self._blank is None:
            raise InputError(
                f"a row has an empty {what} cell; say what it means: blank = "
                f'"negative" (the structure is absent) or "exclude" (the image is left out)'
            )
        if gaps and self._blank == "exclude":
            return None
        return MaskPlace(tuple(place.path for place in located), image=self._images[row].path)

    def _some(self, located: Sequence[Located]) -> list[MaskPlace]:
        """A few of the masks of a column that are there, evenly over the rows."""
        there = [
            MaskPlace((place.path,), image=image.path)
            for place, image in zip(located, self._images, strict=True)
            if place.found
        ]
        return there[:: max(1, len(there) // _LOOKED_AT)][:_LOOKED_AT]


def at_slice(mask: MaskPlace | None, image: object) -> MaskPlace | None:
    """The mask of a whole image, cut as the image's place is."""
    if mask is None or not isinstance(image, VolumePlace) or image.axis is None:
        return mask
    return replace(mask, axis=image.axis, index=image.index)


def size_of(place: MaskPlace | None) -> int:
    """Bytes of the files of a mask."""
    paths = () if place is None else place.paths
    return sum(file_size(path) or 0 for path in paths if path is not None)
