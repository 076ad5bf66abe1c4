"""`InputError`, the error for bad input, and helpers for its one-line messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Input that cannot be used; the message says what is wrong, where, and what to do."""


def first_line(error: BaseException) -> str:
    """The first 300 characters of the first line of another library's error, else its type."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def did_you_mean(word: str, known: Iterable[str], limit: int = 12) -> str:
    """The end of an error message: the nearest names, and all of them where they are few."""
    names = list(known)
    by_lower = {name.lower(): name for name in names}
    close = [by_lower[c] for c in difflib.get_close_matches(word.lower(), by_lower, 3, 0.5)]
    if len(names) > limit:
        return f"nearest of {len(names)}: {', '.join(close or names[:3])}"
    guess = f"did you mean {close[0]}? " if close else ""
    return f"{guess}there are: {', '.join(names)}"
