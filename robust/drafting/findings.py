"""Which classes mean that nothing was found, by their names."""

from __future__ import annotations

import re
from collections.abc import Sequence

_ABSENCE = re.compile(
    r"(no|non|not|without|un)[ _-]?[a-z]+|normal|healthy|negative|control|benign|"
    r"absent|absence|none|clear|no|n|neg|0|false|regular|unremarkable",
    re.IGNORECASE,
)
"""Whole names: `no finding`, `NORMAL`, `nodr`."""
_NEVER = re.compile(r"no(se|dul|ma|n-?proliferative).*|un(certain|known|clear).*|not? ?visible")


def absence_in(classes: Sequence[str]) -> str | None:
    """The one class whose name says that nothing was found; None where that is not one of them."""
    found = [name for name in classes if _ABSENCE.fullmatch(name) and not _is_other(name)]
    return found[0] if len(found) == 1 else None


def _is_other(name: str) -> bool:
    return _NEVER.fullmatch(name.lower()) is not None
