"""The one error that users meet: bad input, said in a line that names the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Something the user gave cannot be used: the message says what, which and what to do."""


def first_line(error: BaseException) -> str:
    """What another library's error says, in a line that is not endless."""
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
