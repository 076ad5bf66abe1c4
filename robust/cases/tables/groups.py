"""The group of each image, such as its patient: from a column, from its path, or none."""

from __future__ import annotations

import re
from collections.abc import Sequence

from robust.cases.cell_types import EMPTY_WORDS
from robust.errors import InputError


def group_in_path(key: str, pattern: str) -> str:
    """What the first bracket of a regular expression finds in a path; InputError without."""
    found = find_group(key, pattern)
    if found is None:
        lacks = "" if re.compile(pattern).groups else ", since it has no bracket around the patient"
        raise InputError(
            f"group_pattern {pattern!r} finds no group in {key!r}{lacks}; fix the pattern"
        )
    return found


def find_group(key: str, pattern: str) -> str | None:
    """As `group_in_path`, None where the pattern finds nothing."""
    try:
        match = re.search(pattern, key)
    except re.error as error:
        raise InputError(
            f"group_pattern {pattern!r} is not a regular expression: {error}"
        ) from None
    if match is None or not match.groups() or match.group(1) is None:
        return None
    return match.group(1)


def groups_in_cells(
    cells: Sequence[str], keys: Sequence[str], blank_group: str | None
) -> list[str]:
    """The group cells; an empty one is the empty text, or with `own` what the row calls its image.

    An image's own group cannot be that of a patient, whatever the patient is called.
    """
    if blank_group is None:
        return ["" if cell in EMPTY_WORDS else cell for cell in cells]
    return [f"image {key}" if cell in EMPTY_WORDS else cell for cell, key in zip(cells, keys)]
