"""Names of splits: `valid`, `validation` and `dev` are other words for `val`."""

from __future__ import annotations

from collections.abc import Iterable

from robust.errors import InputError

SPLITS = ("train", "val", "valid", "validation", "dev", "test")
"""Folders and words that name a split."""
_VAL = ("val", "valid", "validation", "dev")


def find_split(wanted: str, present: Iterable[str]) -> str | None:
    """The split that is meant among those that there are, else None.

    InputError where two other words for it are there.
    """
    names = list(present)
    if wanted in names or wanted not in _VAL:
        return wanted if wanted in names else None
    found = [name for name in names if name in _VAL]
    if len(found) > 1:
        raise InputError(
            f"{' and '.join(found)} could each be the split {wanted!r}; name one of them"
        )
    return found[0] if found else None
