"""`InputError`, the error for bad input, and helpers for its one-line messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from robust.printable import one_line

MOST_CHARACTERS = 2000
"""Of a message: a name of many kilobytes must not bury the rest of it."""


class InputError(ValueError):
    r"""Input that cannot be used; the message says what is wrong, where, and what to do.

    It is one line, whatever the names in it hold: control characters are shown as `\x1b`.
    """

    def __init__(self, message: str) -> None:
        line = one_line(message)
        if len(line) > MOST_CHARACTERS:
            half = MOST_CHARACTERS // 2
            line = f"{line[:half]} [...] {line[-half:]}"
        super().__init__(line)


class BlackBoxFailure(InputError):
    """A black box does not answer, or its answer cannot be used: no attack may take that for one.

    What a run has finished is kept, and the same command continues from there.
    """


def first_line(error: BaseException) -> str:
    """The first 300 characters of the first line of another library's error, else its type."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  (the error of foreign code may fail to describe itself)
        text = ""
    return (text.strip().splitlines() or [type(error).__name__])[0][:300]


def type_and_line(error: BaseException) -> str:
    """The type of foreign code's error and its first line: `KeyError: 'layer4'`."""
    name, line = type(error).__name__, first_line(error)
    return name if line == name else f"{name}: {line}"


def excerpt(text: object, limit: int = 80) -> str:
    """A value from a file for a message, cut where it is long."""
    line = one_line(str(text))
    return line if len(line) <= limit else f"{line[: limit - 3]}..."


def value_text(value: object, limit: int = 80) -> str:
    """A value as Python writes it, for a message, cut where it is long."""
    try:
        return excerpt(repr(value), limit)
    except (ValueError, RecursionError):  # a number of too many digits; lists in themselves
        return f"a {type(value).__name__}"


def did_you_mean(word: str, known: Iterable[str], limit: int = 12) -> str:
    """The end of an error message: the nearest names, and all of them where they are few."""
    word, names = word[:200], list(known)
    by_lower = {name.lower(): name for name in names}
    close = [by_lower[c] for c in difflib.get_close_matches(word.lower(), by_lower, 3, 0.5)]
    if len(names) > limit:
        nearest = ", ".join(excerpt(name) for name in close or names[:3])
        return f"nearest of {len(names)}: {nearest}"
    guess = f"did you mean {excerpt(close[0])}? " if close else ""
    return f"{guess}there are: {', '.join(excerpt(name) for name in names)}"
