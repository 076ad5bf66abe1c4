"""Pseudonyms of file names and patients: keyed hashes, whose key is the data set's own content.

Patient numbers and file names are few enough to be tried one by one, so a plain hash of them hides
nothing. The key (salt) is the content of the data set's first files. It is the same in every run,
split and filter and on every machine, stands in no output, and whoever has the files to compute it
has the names as well.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from pathlib import Path

from robust.errors import InputError
from robust.files import cannot, open_regular

FILES = 8
"""Files that the salt is taken from: one by itself may be blank."""
MOST_BYTES = 16 << 20
"""That are read of each."""


def salt_of(files: Iterable[Path]) -> bytes:
    """The salt of a data set from the content of the first of its files that can be read.

    `files` are those of all splits and rows, in a fixed order. Raises InputError where none can be
    read: then nothing is known that others do not know.
    """
    # Not the hash of the files' own hashes, which a run may write down.
    digest = hashlib.sha256(b"salt of a data set\0")
    read = 0
    problem = ""
    for path in files:
        try:
            content = _beginning(path)
        except InputError as error:
            problem = problem or str(error)
            continue
        digest.update(len(content).to_bytes(8, "big") + content)
        read += 1
        if read == FILES:
            break
    if not read:
        raise InputError(f"no image of the data set can be read: {problem or 'it has none'}")
    return digest.digest()


def pseudonym(text: str, salt: bytes) -> str:
    """Twelve hex digits that stand for a file name or a patient, the same in every run."""
    return hmac.digest(salt, text.encode("utf-8", "surrogateescape"), "sha256").hex()[:12]


def _beginning(path: Path) -> bytes:
    with open_regular(path) as file:
        try:
            return file.read(MOST_BYTES)
        except OSError as error:
            raise InputError(cannot(path, "be read", error)) from None
