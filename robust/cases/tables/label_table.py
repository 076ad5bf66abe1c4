"""Images in the rows of a table: labels, groups and splits as public sets publish them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd

from robust.cases.case import Cases, Entry, Pixels, StoredImage, finding_indices
from robust.cases.cell_types import EMPTY_WORDS, WORDS, typed
from robust.cases.entries import EntryMaker, check_unique, digest_of_file, read_case
from robust.cases.formats import NIFTI_SUFFIXES, SUFFIXES, is_dicom, is_nifti
from robust.cases.index.spelling import tidy
from robust.cases.masks.stored import StoredMask
from robust.cases.row_filter import RowFilter, parse_filter
from robust.cases.tables.columns import Column, Tables
from robust.cases.tables.columns_in_use import (
    UID,
    LabelColumns,
    file_columns,
    label_columns,
)
from robust.cases.tables.groups import find_group, group_in_path, groups_in_cells
from robust.cases.tables.image_index import ImageIndex, Located
from robust.cases.tables.label_cells import values_of
from robust.cases.tables.labels import (
    LEFT_OUT,
    LabelColumn,
    LabelRules,
    Labels,
    Policy,
    read_columns,
    read_labels,
)
from robust.cases.tables.mask_columns import (
    MaskColumns,
    TableMasks,
    at_slice,
    mask_columns,
    region_column,
    size_of,
)
from robust.cases.tables.shares import are_shares, draw_splits, drawn_text
from robust.cases.tables.splits import (
    BY_PATH,
    check_no_leak,
    choose_split,
    splits_by_lists,
    splits_by_path,
)
from robust.cases.tables.votes import Vote, one_label_each
from robust.cases.volumes.read import VolumeOptions
from robust.cases.walk import file_size, is_folder
from robust.errors import InputError, did_you_mean, excerpt

MANIFEST = "cases.csv"
"""The table of a folder that names no other."""
FEW_VALUES = 12
"""A numeric metadata column with more distinct values than this is cut into quartiles."""
_GROUP, _SPLIT = "group", "split"
_WORDS_OF: dict[str, tuple[str, ...]] = {
    "uncertain": get_args(Policy),
    "blank": get_args(Policy),
    "vote": get_args(Vote),
    "blank_group": ("own",),
}


@dataclass(frozen=True)
class TableOptions:
    """What the plan says of a table; the fields are those of `[data]`."""

    table: tuple[str, ...] = (MANIFEST,)
    join: tuple[str, ...] = ()
    file: str | Sequence[str] | None = None
    label: str | Sequence[str] | None = None
    separator: str | None = None
    positive: tuple[str, ...] = ()
    uncertain: Policy | None = None
    blank: Policy | None = None
    reader: str | None = None
    vote: Vote | None = None
    group: str | None = None
    group_pattern: str | None = None
    blank_group: str | None = None
    splits: str | Mapping[str, float | str] | None = None
    split_seed: int = 0
    split: str | None = None
    where: str | None = None
    classes: tuple[str, ...] | None = None
    findings: tuple[str, ...] | None = None
    subgroups: tuple[str, ...] = ()
    keep_names: bool = False
    window: int | None = None
    mask: str | Sequence[str] | None = None
    overlap: bool | None = None
    region: str | None = None
    target_mask: str | Sequence[str] | None = None
    spacing: tuple[float, ...] | None = None
    volumes: str | None = None
    axis: int | None = None
    intensities: tuple[float, float] | str | None = None

    def __post_init__(self) -> None:
        """InputError for a policy or a vote that there is not, and for an empty separator."""
        if self.separator == "":
            raise InputError("[data] separator is empty; name the sign between values, or list")
        for name, known in _WORDS_OF.items():
            value = getattr(self, name)
            if value is not None and value not in known:
                raise InputError(
                    f"[data] {name} must be {', '.join(known)}, not {excerpt(value)!r}"
                )


class LabelTable:
    """The rows of a table and the images that they name; labels are read for one finding at a time.

    Groups, splits and images are the same for each finding.
    """

    def __init__(self, root: Path, options: TableOptions, directory: Path | None = None) -> None:
        """InputError for what does not fit together. `directory` is the DICOMDIR of the images."""
        self.root, self.options = root, options
        row_filter = None if options.where is None else parse_filter(options.where)
        self._index = ImageIndex(root)
        self._tables = Tables.open(root, options.table, options.join)
        self.name = self._tables.name
        self._notes: list[str] = []
        self._check_columns(row_filter)
        self._read(row_filter)
        self._find_images(directory)
        kept = self._kept_rows(row_filter)
        self._splits = self._read_splits()
        chosen, self.split = self._choose(kept)
        self._kept = [place for place, row in enumerate(self._rows_of) if kept[row]]
        self._check_kept()
        self._chosen = [place for place in self._kept if chosen is None or chosen[place]]
        self._filtered = (
            "" if row_filter is None else (f", filtered to {sum(kept)} of {len(kept)} rows")
        )

    # --- what is read ---

    def _check_columns(self, row_filter: RowFilter | None) -> None:
        """Find the columns that have a part; InputError for one that is not there."""
        options, tables = self.options, self._tables
        self._masked = mask_columns(tables, options.mask, options.target_mask, options.label)
        self._region = None
        if options.region is not None:
            if self._masked is not None:
                raise InputError("[data] region is for labels, and the data have masks; remove it")
            self._region = region_column(tables, options.region)
        masked = self._masked or self._region
        masks = () if masked is None else masked.columns
        self._uid = options.file is None and "file" not in tables.header and UID in tables.header
        self._files = None if self._uid else file_columns(tables, options.file, self._index, masks)
        for name in sorted(row_filter.columns if row_filter else ()):
            if name not in tables.header:
                raise InputError(
                    f"the filter names a column {excerpt(name)!r} that {self.name} does not have; "
                    f"{did_you_mean(name, tables.header)}"
                )
        self._group_column = self._find_group_column()
        self._split_column = self._find_split_column()
        if options.reader is not None:
            tables.require(options.reader, "reader")
        parts = (self._group_column, self._split_column, options.reader)
        images = (UID,) if self._files is None else self._files.columns
        self._texts = {*images, *(name for name in parts if name)}
        self._texts |= {*masks}
        self._labels = LabelColumns(())
        if self._masked is None:
            self._labels = label_columns(
                tables, options.label, {*self._texts, *options.subgroups, _GROUP, _SPLIT}
            )
        for found in (self._files, self._labels):
            self._notes += [found.said] if found is not None and found.said else []
        for name in options.subgroups:
            tables.require(name, "subgroup")

    def _find_group_column(self) -> str | None:
        options = self.options
        if options.group_pattern is not None:
            if options.group is not None:
                raise InputError("[data] give either group or group_pattern, not both")
            return None
        if options.group == "none":
            return None
        column = options.group or _GROUP
        if column not in self._tables.header and options.group is None:
            return None  # DICOM files name their patients
        return self._tables.require(column, "group", _OWN)

    def _find_split_column(self) -> str | None:
        splits = self.options.splits
        if isinstance(splits, str):
            return None if splits == BY_PATH else self._tables.require(splits, "split")
        if splits is None and _SPLIT in self._tables.header:
            return _SPLIT
        if splits is None and self.options.split not in (None, "all"):
            self._tables.require(_SPLIT, "split", ' (or split = "all")')
        return None

    def _read(self, row_filter: RowFilter | None) -> None:
        labels = self._labels.names
        names = {*self._texts, *labels, *self.options.subgroups}
        names |= {f"{labels[0]}_name"} if len(labels) == 1 else set()
        names |= row_filter.columns if row_filter else set()
        blank = self.options.blank is not None
        self._columns = self._tables.read(
            names, self._texts, lambda file: blank and bool({*labels} & {*file.header})
        )
        self._count = len(next(iter(self._columns.values())))

    def _find_images(self, directory: Path | None) -> None:
        """The images of all rows: row, place among the file columns, and where each lies."""
        self._rows_of: list[int] = list(range(self._count))
        self._place_of: list[int] = [0] * self._count
        if self._files is None:
            self._located = self._instances(directory)
            self._cells = self._columns[UID]
            return
        cells = [name.cells(self._columns) for name in self._files.names]
        if len(cells) > 1 and self._masked is not None:
            raise InputError("[data] masks need one image a row; name one file column")
        if len(cells) > 1:
            # A row without one of its images has the others.
            pairs = [
                (row, place)
                for row, of_row in enumerate(zip(*cells))
                for place in ([p for p, cell in enumerate(of_row) if cell] or [0])
            ]
            self._rows_of = [row for row, _ in pairs]
            self._place_of = [place for _, place in pairs]
        self._cells = [cells[p][row] for row, p in zip(self._rows_of, self._place_of)]
        self._located = self._index.locate(self._cells)

    def _instances(self, directory: Path | None) -> list[Located]:
        from robust.cases.dicom.header import by_uid

        if directory is None and file_size(self.root / "DICOMDIR") is not None:
            directory = self.root / "DICOMDIR"
        known = {uid: str(path) for uid, path in by_uid(self.root, directory).items()}
        return [
            Located(cell, known.get(cell), cell in known)
            for cell in ("" if cell in EMPTY_WORDS else cell for cell in self._columns[UID])
        ]

    def _kept_rows(self, row_filter: RowFilter | None) -> list[bool]:
        if row_filter is None:
            return [True] * self._count
        columns = {
            name: (_text if name in self._texts else typed)(self._columns[name])
            for name in row_filter.columns
        }
        table = pd.DataFrame(columns, index=range(self._count))
        kept: list[bool] = row_filter.rows(table).tolist()
        if not any(kept):
            raise InputError(
                f"the filter matches no row of {self.name}, which has {self._count}; change it"
            )
        return kept

    def _of_images(self, column: str) -> Column:
        """The cell of each image."""
        cells = self._columns[column]
        return cells if len(self._rows_of) == self._count else [cells[row] for row in self._rows_of]

    # --- groups and splits ---

    @cached_property
    def _groups(self) -> list[str] | None:
        """The group of each image as written, empty where unknown; None: each DICOM file's own."""
        options, keys = self.options, [place.key for place in self._located]
        if options.group_pattern is not None:
            return [find_group(key, options.group_pattern) or "" for key in keys]
        if options.group == "none":
            return keys
        if self._group_column is None:
            return None
        return groups_in_cells(self._of_images(self._group_column), keys, options.blank_group)

    def _read_splits(self) -> list[str] | None:
        """The split of each image, empty where it has none; None where no splits are known."""
        splits = self.options.splits
        if isinstance(splits, Mapping):
            return (
                self._drawn(splits)
                if are_shares(splits)
                else splits_by_lists(
                    {name: str(file) for name, file in splits.items()},
                    self.root,
                    self._located,
                    self._index,
                )
            )
        if splits == BY_PATH:
            return splits_by_path(self._located, self._cells)
        if self._split_column is None:
            return None
        cells = self._of_images(self._split_column)
        return ["" if cell in EMPTY_WORDS else cell for cell in cells]

    def _drawn(self, shares: Mapping[str, Any]) -> list[str]:
        if self._groups is None:
            raise InputError(
                "[data] splits by shares need the patient of each image: name a group column or a "
                'group_pattern, or set group = "none"'
            )
        groups = [g or place.key for g, place in zip(self._groups, self._located)]
        # The cells as written: the same splits whichever finding is audited, and with any filter.
        cells = zip(*self._label_cells()) if self._labels.names else [()] * len(groups)
        strata = ["\0".join(of_image) for of_image in cells]
        drawn = draw_splits(groups, strata, shares, self.options.split_seed)
        unit = "image" if self.options.group == "none" else "group"
        self._notes.append(drawn_text(shares, self.options.split_seed, unit))
        return drawn

    def _choose(self, kept: Sequence[bool]) -> tuple[list[bool] | None, str]:
        if self._splits is None:
            return choose_split(None, self.options.split, self.name)
        splits = [s if kept[row] else "" for s, row in zip(self._splits, self._rows_of)]
        chosen, name = choose_split(splits, self.options.split, self.name)
        if chosen is not None and self._groups is not None and self.options.group != "none":
            check_no_leak(self._groups, splits)
        return chosen, name

    def _check_kept(self) -> None:
        """InputError for a kept row without an image, and where no row has one."""
        for place in self._kept:
            key, where, _ = self._located[place]
            if not key:
                raise InputError(f"{self.name}: a row names no file; fill it in or remove the row")
            if where is None:
                raise InputError(
                    f"{self.name}: no DICOM file of {self.root} has the {UID} {excerpt(key)}; fix "
                    f"it or remove the row"
                )
        missing = [place for place in self._kept if not self._located[place].found]
        if len(missing) == len(self._kept):
            raise InputError(
                f"{self.name}: none of its {len(missing)} images lies in {self.root}, "
                f"{excerpt(self._located[missing[0]].place, 300)} first: there is no such file; "
                f"name their folder in path, and the column that names them: file"
            )
        self._missing = {self._located[place].path for place in missing}

    # --- labels ---

    def _label_cells(self) -> list[Column]:
        """The cells of each label column, by image; of a column for each image one alone."""
        names = self._labels.names
        images = 1 if self._files is None else len(self._files.names)
        if len(names) == images > 1:
            columns = [self._columns[name] for name in names]
            pairs = zip(self._rows_of, self._place_of)
            return [[columns[place][row] for row, place in pairs]]
        return [self._of_images(name) for name in names]

    def _label_columns(self) -> list[LabelColumn]:
        """The label cells of the kept images."""
        keys = [self._located[place].key for place in self._kept]
        cells = [[tidy(column[place]) for place in self._kept] for column in self._label_cells()]
        names = self._labels.names
        if len(cells) < len(names):
            return [LabelColumn(self.name, " and ".join(names), cells[0], keys)]
        beside = self._columns.get(f"{names[0]}_name") if len(names) == 1 else None
        beside = None if beside is None else [beside[self._rows_of[p]] for p in self._kept]
        return [LabelColumn(self.name, n, c, keys, beside) for n, c in zip(names, cells)]

    def finding_names(self) -> tuple[str, ...]:
        """The findings that the table has labels of, each of which `cases` takes.

        Of several label columns the columns, of cells with several values, or of words, all values.
        """
        if self._masked is not None:
            raise InputError(f"{self.name} has masks, and so no findings; name a label column")
        columns = self._label_columns()
        if len(columns) > 1:
            return tuple(column.name for column in columns)
        (column,) = columns
        if self.options.separator is not None:
            values = values_of(column.cells, self.options.separator, column.where)
            return tuple(sorted({value for several in values for value in several}))
        return read_labels(column, replace(self._rules(None), positive=(), classes=None)).classes

    def _rules(self, finding: str | None) -> LabelRules:
        options = self.options
        return LabelRules(
            options.separator,
            options.positive if finding is None else (finding,),
            options.uncertain,
            options.blank,
            options.classes if finding is None else None,
        )

    def _labels_of(self, finding: str | None) -> Labels:
        columns, rules = self._label_columns(), self._rules(finding)
        return read_columns(columns, rules) if len(columns) > 1 else read_labels(columns[0], rules)

    # --- cases ---

    def cases(self, finding: str | None = None) -> Cases:
        """The cases of the split: as the options say, or of one of `finding_names`.

        The images, their ids and their groups are the same for each finding; one whose label a
        policy leaves out is missing.
        """
        if self._masked is not None:
            return self._outlined(self._masked)
        options = self.options
        labels = self._labels_of(finding)
        numbers = {key: number for number, key in enumerate(self._first_of)}
        images = [numbers[self._located[place].key] for place in self._kept]
        readers = None
        if options.reader is not None:
            cells = self._of_images(options.reader)
            readers = [cells[place] for place in self._kept]
        keys = [self._located[place].key for place in self._kept]
        by_image = one_label_each(images, labels, readers, options.vote, keys, self.name)
        entries: list[Entry] = []
        left_out = 0
        for key, of_image in self._entries.items():
            label = by_image[numbers[key]]
            left_out += label == LEFT_OUT
            if label != LEFT_OUT:
                entries += [replace(entry, label=label) for entry in of_image]
        if not entries:
            raise InputError(
                f"{self.name}: every image of split {self.split} is left out for want of a sure "
                f"label; choose another policy: uncertain, blank"
            )
        notes = [*self._notes, *([labels.note] if labels.note else [])]
        if left_out:
            notes.append(f"{left_out} images without a sure label left out")
        read_mask: Callable[[Any, tuple[int, ...]], StoredMask] | None = None
        if self._region is not None:
            entries, read_mask = self._with_regions(self._region, entries)
        findings = options.findings if finding is None else None
        if labels.finding and findings is None:
            findings = labels.classes[1:]  # whatever the two are called
        return replace(
            self._cases("a folder of images with a table", notes, labels.classes, entries),
            findings=finding_indices(labels.classes, findings, in_order=labels.in_order),
            read_mask=read_mask,
        )

    def _with_regions(
        self, columns: MaskColumns, entries: Sequence[Entry]
    ) -> tuple[list[Entry], Callable[[Any, tuple[int, ...]], StoredMask]]:
        """The entries of cases with classes, each with the mask of its region; InputError."""
        masks = TableMasks(columns, self._columns, self._index, "exclude", self._located)
        form = masks.form([self._rows_of[place] for place in self._chosen], None, None)
        found: list[Entry] = []
        rows: dict[str, int] = {}
        for key, of_image in self._entries.items():
            rows |= {entry.id: self._rows_of[self._first_of[key]] for entry in of_image}
        for entry in entries:
            place = masks.place(rows[entry.id])
            if place is None:
                raise InputError(
                    f"[data] region: an image of split {self.split} has an empty cell; fill in the "
                    f"mask of its region, or leave it out with where"
                )
            size = entry.size + size_of(place)
            found.append(replace(entry, size=size, mask=at_slice(place, entry.location)))
        return found, form.read

    def _cases(
        self, what: str, notes: Sequence[str], classes: tuple[str, ...], entries: Sequence[Entry]
    ) -> Cases:
        """What labels and masks have alike."""
        return Cases(
            # Neither the folder's name nor the filter's text, which may hold a patient's name.
            source="; ".join([f"{what}{self._filtered}", *notes]),
            classes=classes,
            entries=tuple(entries),
            read=self._reader(),
            grouped=self.options.group != "none",
            split=self.split,
            noun=self._noun,
            showable=not self._maker.dicom,
            digest=digest_of_file,
            notes=self._maker.notes,
            spacing=self.options.spacing,
        )

    def _outlined(self, columns: MaskColumns) -> Cases:
        """The cases of the split with their masks."""
        options = self.options
        for name in ("separator", "positive", "uncertain", "reader", "vote", "findings"):
            if getattr(options, name):
                raise InputError(f"[data] {name} is for labels, and the data have masks; remove it")
        masks = TableMasks(columns, self._columns, self._index, options.blank, self._located)
        kept = [self._rows_of[place] for place in self._chosen]
        form = masks.form(kept, options.classes, options.overlap)
        entries: list[Entry] = []
        left_out = 0
        for key, of_image in self._entries.items():
            row = self._rows_of[self._first_of[key]]
            place, target = masks.place(row), masks.target(row)
            left_out += place is None
            if place is None:
                continue
            more = size_of(place) + size_of(target)
            entries += [
                replace(
                    entry,
                    size=entry.size + more,
                    mask=at_slice(place, entry.location),
                    target_mask=at_slice(target, entry.location),
                )
                for entry in of_image
            ]
        if not entries:
            raise InputError(f"{self.name}: no image of split {self.split} has a mask; fill it in")
        notes = [*self._notes]
        if left_out:
            notes.append(f"{left_out} images without a mask left out")
        return replace(
            self._cases("a folder of images with masks in a table", notes, form.classes, entries),
            outlines="overlapping" if form.overlapping else "exclusive",
            read_mask=form.read,
        )

    @cached_property
    def _first_of(self) -> dict[str, int]:
        """The first kept place of each image; InputError where rows differ in other things."""
        first: dict[str, int] = {}
        again = False
        for place in self._kept:
            again |= first.setdefault(self._located[place].key, place) != place
        if again:
            self._check_same(first)
        return first

    def _check_same(self, first: Mapping[str, int]) -> None:
        masked = self._masked or self._region
        masks = () if masked is None else masked.columns
        others = {name: self._of_images(name) for name in (*self.options.subgroups, *masks)}
        for what, values in {_GROUP: self._groups, _SPLIT: self._splits, **others}.items():
            if values is None:
                continue
            for place in self._kept:
                key = self._located[place].key
                if values[first[key]] != values[place]:
                    raise InputError(
                        f"{self.name} names {excerpt(self._located[place].place, 300)} twice, with "
                        f"another {excerpt(what)}; keep one row per image, or make them agree"
                    )

    @cached_property
    def _maker(self) -> EntryMaker:
        # From all rows, so that a patient has one pseudonym whatever the split and the filter.
        every = sorted({place.place for place in self._located if place.place is not None})
        kept = {self._located[place].place for place in self._kept}
        # Suffixes tell most; 200,000 paths take a second to make.
        told = (*SUFFIXES, *NIFTI_SUFFIXES)
        doubtful = (Path(p) for p in kept if p is not None and not p.lower().endswith(told))
        options = self.options
        volumes = VolumeOptions.of(options.volumes, options.axis, options.intensities)
        if volumes != VolumeOptions() and not self._has_volumes:
            raise InputError(
                f"{self.name} names no volume (NIfTI, or a folder of DICOM slices), so that [data] "
                f"volumes, axis and intensities say nothing; remove them"
            )
        return EntryMaker(doubtful, options.keep_names, options.window, map(Path, every), volumes)

    @cached_property
    def _has_volumes(self) -> bool:
        places = {self._located[place].path for place in self._kept}
        return any(path is not None and self._is_volume(path) for path in places)

    def _is_volume(self, path: Path) -> bool:
        """By the suffix where that tells it; a folder is a series."""
        if path.name.lower().endswith(SUFFIXES):
            return False
        if is_nifti(path) or is_folder(path):
            return True
        return self.options.volumes is not None and is_dicom(path)

    @property
    def _noun(self) -> str:
        return "volumes" if self._has_volumes and self.options.volumes != "slices" else "images"

    @cached_property
    def _entries(self) -> dict[str, list[Entry]]:
        """The entries of each image of the split, by key, without their labels."""
        groups = self._groups
        sliced = self._has_volumes and self.options.volumes == "slices"
        if groups is None and not (self._maker.dicom or sliced):
            self._tables.require(_GROUP, "group", _OWN)
        metadata = self._metadata()
        found: dict[str, list[Entry]] = {}
        for place in self._chosen:
            key, where, _ = self._located[place]
            if self._first_of[key] != place or where is None:
                continue
            owner = None if groups is None else groups[place]
            if owner == "":
                owner = self._own(key)
            found[key] = self._maker.entries(
                Path(where), key, 0, owner, metadata[place] if metadata else {}
            )
        check_unique([entry for of_image in found.values() for entry in of_image], self.name)
        return found

    def _own(self, key: str) -> str:
        """InputError: the image has no group."""
        if self.options.group_pattern is not None:
            return group_in_path(key, self.options.group_pattern)
        raise InputError(
            f"{self.name}: {key} has no {self._group_column}; fill it in or remove the row, or set "
            f'blank_group = "own"'
        )

    def _metadata(self) -> dict[int, dict[str, str]]:
        """The subgroups of each kept image."""
        found: dict[int, dict[str, str]] = {place: {} for place in self._kept}
        for name in self.options.subgroups:
            cells = self._of_images(name)
            values = _subgroup([cells[place] for place in self._kept], name, self.name)
            for place, value in zip(self._kept, values):
                found[place][name] = value
        return found

    def _reader(self) -> Callable[[Any], Pixels | StoredImage]:
        missing, images = self._missing, len(self._first_of)
        count = len(missing)

        def read(location: Any) -> Pixels | StoredImage:
            try:
                return read_case(location)
            except InputError as error:
                if location not in missing or count == 1:
                    raise
                raise InputError(f"{error} ({count} of {images} images are missing)") from None

        return read if missing else read_case


_OWN = (
    "; name the patient's column (group), take the patient from the path (group_pattern), or say "
    'that none is known (group = "none")'
)


def _text(cells: Sequence[str]) -> pd.Series[Any]:
    return pd.Series([None if cell in EMPTY_WORDS else cell for cell in cells], dtype=object)


def _subgroup(cells: Sequence[str], name: str, table: str) -> list[str]:
    """Values as text; a number with many values becomes its quartile, an empty cell `unknown`."""
    values = typed(cells, WORDS)
    texts = values.astype(object)
    if pd.api.types.is_numeric_dtype(values) and values.nunique() > FEW_VALUES:
        known = values.dropna().to_numpy(float)
        edges = np.unique(np.quantile(known[np.isfinite(known)], [0.25, 0.5, 0.75]))
        digits = ".10g" if len({f"{edge:.10g}" for edge in edges}) == len(edges) else ".17g"
        ends = [format(edge, digits) for edge in edges]
        names = [f"to {ends[0]}", *(f"over {a} to {b}" for a, b in itertools.pairwise(ends))]
        names.append(f"over {ends[-1]}")
        texts[values.notna()] = [names[place] for place in np.searchsorted(edges, known)]
    if texts.nunique() > 50:
        raise InputError(
            f"{table}: {excerpt(name)} has {texts.nunique()} values, too many for subgroups; "
            f"choose a column with at most 50"
        )
    return [
        "unknown" if pd.isna(v) else f"{v:.10g}" if isinstance(v, float) else str(v) for v in texts
    ]
