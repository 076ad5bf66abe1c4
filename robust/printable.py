"""Foreign text (file names, titles, messages of libraries) made safe to print on one line."""

from __future__ import annotations

import re

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


def _escaped(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
