"""What the cells of a column are: empty, numbers, True and False, or text."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

import pandas as pd

EMPTY_WORDS = frozenset(
    (
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND"),
        *("1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
    )
)
"""Cells that are read as empty."""
WORDS = frozenset(("None", "NA", "N/A", "n/a"))
"""Empty in a column of numbers; in labels and subgroups of words a word like any other."""
_CODE = re.compile(r"[+-]?(0\d.*|\d{16,}(\.0*)?)")
"""Digits that are a name: as a number they would lose zeros in front, or the last digits."""
_TRUTHS = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}


def is_blank(cell: str) -> bool:
    """Whether a cell of a column of words is empty; None and NA are words."""
    return cell in EMPTY_WORDS and cell not in WORDS


def typed(cells: Sequence[str], words: Collection[str] = ()) -> pd.Series[Any]:
    """Cells as numbers, or as True and False, where each that is not empty is one; else as text.

    Digits that are a name (007, or more of them than a number keeps) stay text. `words` are not
    empty in a column of text.
    """
    texts = pd.Series([None if cell in EMPTY_WORDS else cell for cell in cells], dtype=object)
    full = texts.dropna()
    if not len(full) and not any(cell in words for cell in cells):
        return texts.astype(float)
    if len(full) and full.isin(list(_TRUTHS)).all():
        truths = texts.map(_TRUTHS)
        return truths if len(full) < len(texts) else truths.astype(bool)
    numbers = plain_numbers(texts) if len(full) else None
    if numbers is not None:
        return numbers
    empty = EMPTY_WORDS - frozenset(words)
    return pd.Series([None if cell in empty else cell for cell in cells], dtype=object)


def plain_numbers(texts: pd.Series[Any]) -> pd.Series[Any] | None:
    """A column of text as numbers; None where a cell that is not missing is none, or is a name."""
    full = texts.dropna()
    if any(_CODE.fullmatch(str(cell)) for cell in full):
        return None
    try:
        numbers: pd.Series[Any] = pd.to_numeric(texts)
    except (ValueError, TypeError, OverflowError):
        return None
    return numbers
