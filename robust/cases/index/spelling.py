"""Spelling of names from files: one text for one name, and names that differ in spelling alone."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

from robust.errors import InputError

_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")
_BETWEEN = re.compile(r"[\s_.\-]+")


def tidy(name: str) -> str:
    r"""A name as it is kept: no white space around it, composed letters (NFC), valid Unicode.

    Bytes of a file name that are no UTF-8 are written as `\xfc`.
    """
    if not name.isascii():
        raw = name.encode("utf-8", "surrogateescape" if os.name == "posix" else "backslashreplace")
        name = unicodedata.normalize("NFC", raw.decode("utf-8", "backslashreplace"))
    return name.strip()


def folded(name: str) -> str:
    """Equal for names that differ in spelling alone: `P-07`, `p 7` and `P7` are `p7`."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    return _ZEROS.sub("", _BETWEEN.sub("", _ZEROS.sub("", plain)))


def spelled_alike(names: Iterable[str]) -> int:
    """How many different names differ from another one in spelling alone."""
    by_folded: dict[str, set[str]] = defaultdict(set)
    for name in names:
        by_folded[folded(name)].add(name)
    return sum(len(same) for same in by_folded.values() if len(same) > 1)


def check_class_spelling(names: Iterable[str], source: str) -> None:
    """InputError where two classes, found in the data, differ in letter case or blanks alone."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(" ".join(name.casefold().split()), name)
        if other != name:
            raise InputError(
                f"{source}: the classes {other!r} and {name!r} differ in letter case or blanks "
                f"alone; write one for both, or name each in classes if they are two"
            )
