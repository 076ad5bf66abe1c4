"""What the columns of a label table look like: image, label, patient, split, reader."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from robust.cases.cell_types import EMPTY_WORDS
from robust.cases.split_names import WORDS
from robust.cases.tables.image_index import ImageIndex
from robust.errors import InputError

MOST_CLASSES = 40
"""Values of a column that is taken for a label."""
PATIENT = r"patient|subject|person|participant|case|mrn|lesion|study|eye"
"""Words in the name of a column of patients or lesions, the widest unit first."""
GROUP = "group"
"""The column of patients of a table in robust's own form."""
NO_PATIENT = r"age|sex|gender|birth|date|year|weight|height|name"
"""Words that say something of a patient, and not which one."""
LABEL = r"label|class|diagnos|target|finding|grade|level|dx|category|disease|outcome|severity|y"
"""Words in the name of a label column, the likeliest first."""
MASK = r"mask|segmentation|outline|annotation"
"""Words in the name of a column of masks, whose cells name files as well."""
READER = r"reader|rater|annotator|grader|observer|rad"
SPLIT = r"split|fold|subset|partition|set"
SIGNS = ("|", "\uff0c")
"""That stand between several values in a cell, and in no name."""
_SPLIT_WORDS = {*WORDS, "validate"}
_SAMPLE = 200


@dataclass(frozen=True)
class Roles:
    """Columns by what they look like."""

    files: tuple[str, ...]
    """Those that name images, as many as a row has images."""
    masks: tuple[str, ...]
    """Those that name the masks of images."""
    labels: tuple[str, ...]
    """Those that may be the label, the likeliest first."""
    one_hot: tuple[str, ...]
    """Columns of 0 and 1 of which each row has exactly one."""
    findings: tuple[str, ...]
    """Several columns of 0 and 1, perhaps -1 and blank."""
    separator: str | None
    """Between several values in a cell of the first of `labels`."""
    group: str | None
    split: str | None
    reader: str | None
    subgroups: tuple[str, ...]
    """Columns of few values that could be looked at separately."""


def find_roles(columns: Mapping[str, Sequence[str]], index: ImageIndex) -> Roles:
    """The roles of the columns of a table, by their cells first and their names second."""
    named = _files(columns, index)
    masks = tuple(name for name in named if re.search(MASK, name, re.IGNORECASE))
    masks = masks if len(masks) < len(named) else ()
    files = tuple(name for name in named if name not in masks)
    left = {name: cells for name, cells in columns.items() if name and name not in named}
    split = next((n for n, c in left.items() if _is_split(n, c)), None)
    left.pop(split or "", None)
    reader = _named(left, READER, lambda cells: len(set(cells)) > 1)
    if reader is not None and files and len(set(columns[files[0]])) == len(columns[files[0]]):
        reader = None  # each image has one row
    left.pop(reader or "", None)
    binary = tuple(name for name, cells in left.items() if _is_binary(cells))
    one_hot = binary if _is_one_hot([left[name] for name in binary]) else ()
    others = {n: c for n, c in left.items() if n not in binary}
    persons = {n: c for n, c in others.items() if not re.search(NO_PATIENT, n, re.IGNORECASE)}
    group = GROUP if len(_full(persons.get(GROUP, ()))) > 1 else None
    group = group or _named(persons, PATIENT, lambda cells: len(_full(cells)) > 1)
    if group is None and len(files) > 1:  # a row is a patient with several images
        group = _named(persons, "id", lambda cells: len(set(cells)) == len(cells))
    others.pop(group or "", None)
    words = {n: c for n, c in others.items() if _separator(c) is not None or _is_label(c)}
    labels = sorted(words, key=lambda name: (name_rank(name, LABEL), len(name)))
    if binary and not one_hot and (not labels or name_rank(labels[0], LABEL) > 20):
        labels = sorted(binary, key=lambda name: name_rank(name, LABEL)) if len(binary) == 1 else []
    known = [name for name in labels if name_rank(name, LABEL) < 20]
    return Roles(
        files=files,
        masks=masks,
        labels=tuple(labels),
        one_hot=one_hot,
        findings=binary if len(binary) > 1 and not one_hot and not known else (),
        separator=_separator(left[labels[0]]) if labels else None,
        group=group,
        split=split,
        reader=reader,
        subgroups=tuple(
            n for n in labels[1:] if re.search(r"sex|gender|site|view|camera", n, re.I)
        ),
    )


def _full(cells: Sequence[str]) -> list[str]:
    return [cell for cell in cells if cell not in EMPTY_WORDS]


def _files(columns: Mapping[str, Sequence[str]], index: ImageIndex) -> tuple[str, ...]:
    """The columns whose cells name images, several only where they name different ones."""
    found: dict[str, frozenset[str]] = {}
    for name, cells in columns.items():
        sample = list(dict.fromkeys(_full(cells)))[:_SAMPLE]
        images = [inside for cell in sample if (inside := _find(index, cell))]
        if sample and len(images) > len(sample) / 2:
            found[name] = frozenset(images)
    most = max(map(len, found.values()), default=0)
    kept: dict[str, frozenset[str]] = {}
    for name, shown in sorted(found.items(), key=lambda one: -len(one[1])):
        if len(shown) >= most / 2 and not any(shown & other for other in kept.values()):
            kept[name] = shown
    return tuple(name for name in columns if name in kept)


def _find(index: ImageIndex, cell: str) -> str | None:
    try:
        return index.find(cell)
    except InputError:
        return cell  # several images: it names one of them


def _is_split(name: str, cells: Sequence[str]) -> bool:
    values = {cell.lower() for cell in _full(cells)}
    return bool(values) and len(values) <= 6 and len(values & _SPLIT_WORDS) >= len(values) / 2


def _is_binary(cells: Sequence[str]) -> bool:
    values = {cell.removesuffix(".0") for cell in _full(cells)}
    return bool(values) and values <= {"0", "1", "-1"} and "1" in values


def _is_one_hot(columns: Sequence[Sequence[str]]) -> bool:
    if len(columns) < 3:
        return False
    ones = [sum(cell.removesuffix(".0") == "1" for cell in row) for row in zip(*columns)]
    return set(ones) == {1}


def _is_label(cells: Sequence[str]) -> bool:
    """Few values, most of them in several rows; numbers only where they count from 0 or 1."""
    full = _full(cells)
    values = set(full)
    if not 2 <= len(values) <= min(MOST_CLASSES, max(2, len(full) / 2)):
        return False
    numbers = {value.removesuffix(".0") for value in values}
    if all(re.fullmatch(r"-?\d+(\.\d+)?", value) for value in numbers):
        return all(value.isdigit() and int(value) < MOST_CLASSES for value in numbers)
    return True


def _separator(cells: Sequence[str]) -> str | None:
    full = _full(cells)[:_SAMPLE]
    if full and all(re.fullmatch(r"\[.*\]", cell, re.S) for cell in full):
        return "list"
    return next((sign for sign in SIGNS if any(sign in cell for cell in full)), None)


def _named(
    columns: Mapping[str, Sequence[str]], words: str, fits: Callable[[Sequence[str]], bool]
) -> str | None:
    """The column whose name holds the first of some words, and whose cells fit."""
    found = [n for n, cells in columns.items() if name_rank(n, words) < 20 and fits(cells)]
    return min(found, key=lambda name: name_rank(name, words), default=None)


def name_rank(name: str, words: str) -> int:
    """The place of the first word that a column's name has as a word; 99 without one."""
    parts = re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()
    for place, word in enumerate(words.split("|")):
        pattern = rf"(^|[^a-z]){word}" if len(word) > 2 else rf"(^|[^a-z]){word}([^a-z]|$)"
        if re.search(pattern, parts):
            return place
    return 99
