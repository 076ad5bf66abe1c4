"""Names of splits: `valid`, `validation` and `dev` are other words for `val`."""

from __future__ import annotations

from collections.abc import Iterable

from robust.errors import InputError

SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
"""What a split is called, in any letter case, by the split that is meant."""
WORDS = tuple(word for words in SPLITS.values() for word in words)
"""Every word for a split, in small letters."""
_MEANINGS = {word: split for split, words in SPLITS.items() for word in words}


def split_meant(word: str) -> str | None:
    """The split that a word or a folder's name means; None where it is no word for one."""
    return _MEANINGS.get(word.lower())


def find_split(wanted: str, present: Iterable[str]) -> str | None:
    """The split that is meant among those that there are, else None.

    InputError where two other words for it are there.
    """
    names = list(present)
    meant = split_meant(wanted)
    if wanted in names or meant is None:
        return wanted if wanted in names else None
    found = [name for name in names if split_meant(name) == meant]
    if len(found) > 1:
        raise InputError(
            f"{' and '.join(found)} could each be the split {wanted!r}; name one of them"
        )
    return found[0] if found else None
