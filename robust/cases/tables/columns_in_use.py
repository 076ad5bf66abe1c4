"""Which columns of a table name the image and the label: as the plan says, or the only ones."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from robust.cases.cell_types import EMPTY_WORDS
from robust.cases.tables.columns import Column, Tables
from robust.cases.tables.image_index import ImageIndex
from robust.cases.tables.label_cells import numbers_of
from robust.errors import InputError, excerpt

FILE, LABEL, UID = "file", "label", "sop_instance_uid"
"""Names that need not be named; the last names DICOM files in place of `file`."""
MOST_TRIED = 500
"""Columns among which one is looked for; a wider table must name its own."""
_SAMPLE = 50
"""Rows in which a column must name images to be taken for the one that does."""
_FIELD = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True)
class ImageName:
    """Where a row has the name of one image."""

    columns: tuple[str, ...]
    template: str | None = None
    """With the columns in braces; None where one column is the name."""

    def cells(self, rows: dict[str, Column]) -> Column:
        """What each row calls its image; empty where one of the columns is."""
        named = [rows[column] for column in self.columns]
        template = self.template
        if template is None:
            return ["" if cell in EMPTY_WORDS else cell for cell in named[0]]
        found = []
        for cells in zip(*named):
            values = dict(zip(self.columns, cells))
            empty = any(cell in EMPTY_WORDS for cell in cells)
            found.append("" if empty else _FIELD.sub(lambda m: values[m[1]], template))  # noqa: B023
        return found


@dataclass(frozen=True)
class FileColumns:
    """Where a row has its images: each entry gives one."""

    names: tuple[ImageName, ...]
    said: str = ""
    """What was found out and not said by the plan, for the report."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns in use."""
        return tuple(dict.fromkeys(column for name in self.names for column in name.columns))


def file_columns(
    tables: Tables,
    given: str | Sequence[str] | None,
    index: ImageIndex,
    others: Collection[str] = (),
) -> FileColumns:
    """The columns that name images; InputError where none or several do and none is named.

    `others` name files, too, which are no images.
    """
    if given is not None:
        found = FileColumns(
            tuple(image_name(tables, text) for text in named_columns(tables, given, "file"))
        )
        for name in found.columns:
            tables.require(name, "file")
        return found
    if FILE in tables.header:
        return FileColumns((ImageName((FILE,)),))
    candidates = [name for name in naming_columns(tables, index) if name not in others]
    if len(candidates) == 1:
        (name,) = candidates
        return FileColumns((ImageName((name,)),), f"images named by column {name}")
    there = ", ".join(map(excerpt, candidates or tables.header[:20]))
    known = "several name images" if candidates else "there are"
    raise InputError(
        f"{tables.name} has no file column {FILE!r}, as a cases.csv has; name the column of the "
        f"images: --file-column, or file in [data]; {known}: {there}"
    )


def image_name(tables: Tables, text: str) -> ImageName:
    """What names an image: a column, or a template with columns in braces."""
    columns = () if text in tables.header else tuple(dict.fromkeys(_FIELD.findall(text)))
    return ImageName(columns, text) if columns else ImageName((text,))


def naming_columns(tables: Tables, index: ImageIndex) -> list[str]:
    """The columns whose first cells all name images of the folder.

    Short numbers (the labels 0 and 1) and columns of few values name images by chance.
    """
    if len(tables.own_header) > MOST_TRIED:
        return []
    header = [n for n in tables.own_header if n and tables.own_header.count(n) == 1]
    sample = tables.stacked[0].columns(header, most=_SAMPLE)
    most: dict[str, int] = {}
    for name, cells in sample.items():
        full = {cell for cell in cells if cell not in EMPTY_WORDS}
        if full and all(_names_image(index, cell) for cell in full):
            most[name] = len(full)
    short = [name for name in most if all(len(cell) < 3 for cell in sample[name])]
    named = [name for name in most if name not in short] or short
    return [name for name in named if 2 * most[name] >= max(most[one] for one in named)]


def _names_image(index: ImageIndex, cell: str) -> bool:
    try:
        return index.find(cell) is not None
    except InputError:  # it could be several images: so it names them
        return True


@dataclass(frozen=True)
class LabelColumns:
    """Where a row has its label."""

    names: tuple[str, ...]
    said: str = ""
    """As in `FileColumns`."""


def label_columns(
    tables: Tables, given: str | Sequence[str] | None, others: Collection[str]
) -> LabelColumns:
    """The label columns; `others` are those with another part.

    Without a name, a column `label`, the only column that is left, or all columns that are left
    where they are one-hot. InputError lists the columns otherwise.
    """
    if given is not None:
        names = named_columns(tables, given, "label")
        for name in names:
            tables.require(name, "label")
        return LabelColumns(names)
    if LABEL in tables.header:
        return LabelColumns((LABEL,))
    left = [name for name in tables.header if name and name not in others]
    if len(left) == 1:
        return LabelColumns((left[0],), f"labels from column {left[0]}")
    if 3 <= len(left) <= MOST_TRIED and _one_hot(tables.read(left, ()), left):
        return LabelColumns(tuple(left), f"classes from the columns {', '.join(left)}")
    shown = ", ".join(map(excerpt, left[:30])) + (", ..." if len(left) > 30 else "")
    raise InputError(
        f"{tables.name} has no label column {LABEL!r}; name the label: --label, or label in "
        f"[data]; there are: {shown}"
    )


def _one_hot(rows: dict[str, Column], names: Sequence[str]) -> bool:
    sums = [0.0] * len(rows[names[0]])
    for name in names:
        numbers = numbers_of(rows[name])
        if numbers is None or not set(numbers) <= {0.0, 1.0}:
            return False
        sums = [total + number for total, number in zip(sums, numbers) if number is not None]
    return set(sums) == {1.0}


def named_columns(tables: Tables, given: str | Sequence[str], field: str) -> tuple[str, ...]:
    """Columns as the plan lists them; on the command line with commas between them."""
    if not given or (not isinstance(given, str) and "" in given):
        raise InputError(f"[data] {field} is empty; name a column")
    if not isinstance(given, str):
        return tuple(given)
    parts = tuple(part.strip() for part in given.split(","))
    several = (
        given not in tables.header and len(parts) > 1 and all(p in tables.header for p in parts)
    )
    return parts if several else (given,)
