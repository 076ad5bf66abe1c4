"""What label cells say: words, numbers, several values in one, a finding with 1, 0, -1 or blank."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from robust.cases.cell_types import EMPTY_WORDS, is_blank
from robust.errors import InputError, excerpt

LISTS = "list"
"""As `[data] separator`: lists as Python writes them."""
_SIGNS = ("|", ";", "\uff0c", ",")
"""That stand between several values in published tables; U+FF0C is the full-width comma."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|Infinity)")
_TRUTHS = {"true": 1.0, "false": 0.0}
_ITEM = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"")


def numbers_of(cells: Sequence[str]) -> list[float | None] | None:
    """Cells as numbers, None for an empty one; None where one of them is a word.

    True and False are 1 and 0. A column that is empty in every row holds no number.
    """
    known: dict[str, float | None] = {}
    for cell in set(cells):
        if cell in EMPTY_WORDS:
            known[cell] = None
        elif cell.lower() in _TRUTHS:
            known[cell] = _TRUTHS[cell.lower()]
        elif _NUMBER.fullmatch(cell):
            known[cell] = float(cell)
        else:
            return None
    if all(number is None for number in known.values()):
        return None
    return [known[cell] for cell in cells]


def values_of(cells: Sequence[str], separator: str, where: str) -> list[tuple[str, ...]]:
    """The values in each cell, without blanks around them; InputError for a cell that is no list.

    `where` names table and column for messages.
    """
    known = {cell: _values(cell, separator, where) for cell in set(cells)}
    return [known[cell] for cell in cells]


def _values(cell: str, separator: str, where: str) -> tuple[str, ...]:
    if is_blank(cell):
        return ()
    if separator != LISTS:
        return tuple(dict.fromkeys(part.strip() for part in cell.split(separator) if part.strip()))
    rest = _ITEM.sub("", cell)
    if not (cell.startswith("[") and cell.endswith("]")) or re.sub(r"[\s,]", "", rest) != "[]":
        raise InputError(
            f"{where} holds {excerpt(cell, 60)}, which is no list as Python writes it; choose "
            f"another separator"
        )
    items = (re.sub(r"\\(.)", r"\1", one or other).strip() for one, other in _ITEM.findall(cell))
    return tuple(dict.fromkeys(item for item in items if item))


def check_single(cells: Sequence[str], known: Collection[str], where: str) -> None:
    """InputError where cells seem to hold several values, and no separator was named.

    `known` are words that were named as such.
    """
    present = set(cells)
    every = present.union(known)
    for cell in sorted(present):
        if cell in known:
            continue
        if cell.startswith("[") and cell.endswith("]") and "'" in cell:
            sign, shown = LISTS, LISTS
        else:
            sign = next((sign for sign in _SIGNS if _cut(cell, sign, every)), "")
            shown = sign
        if sign:
            raise InputError(
                f"{where} holds several values in one cell, such as {excerpt(cell, 60)!r}; set "
                f'separator = "{shown}" and name the finding: positive'
            )


def _cut(cell: str, sign: str, present: Collection[str]) -> bool:
    """Whether a sign cuts a cell into values; all but `|` may also stand inside one."""
    parts = [part.strip() for part in cell.split(sign)]
    if len(parts) < 2:
        return False
    known = [part in present for part in parts]
    return sign == "|" or all(known) or (sign != "," and any(known))
