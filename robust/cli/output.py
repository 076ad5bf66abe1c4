"""Text that a command writes to a file that the user names."""

from __future__ import annotations

from pathlib import Path

from robust.errors import InputError
from robust.files import write_atomically


def write_text(out: Path, text: str) -> None:
    """Write all of a file or nothing; InputError where it cannot be written.

    File names in it that are not valid UTF-8 keep their bytes.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(out, text.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror}") from None
