"""Foreign text (names, titles, messages of libraries) made safe for a line and for a table."""

from __future__ import annotations

import re

_FORMULA = re.compile(r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""First characters of a spreadsheet formula, full-width forms included."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
"""Control characters, those that reorder or hide text, and bytes that are no UTF-8."""


def one_line(text: str) -> str:
    """The text on one line, white space as single spaces, with `printable` characters alone."""
    return printable(" ".join(text.split()))


def printable(text: str) -> str:
    r"""The text with characters that command a terminal or hide text as `\x1b`, `\u202e`.

    Line ends and tabs stay.
    """
    return _UNSAFE.sub(_escaped, text)


def as_cell(value: object) -> object:
    """A value as the CSV has it: 0 or 1 for a bool, nine digits, and no formula."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float):
        return f"{value:.9g}"
    return _safe(value) if isinstance(value, str) else value


def _safe(text: str) -> str:
    """Text that no spreadsheet takes for a formula; a plain number stays as it is."""
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def _escaped(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
