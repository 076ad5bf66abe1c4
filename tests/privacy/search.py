"""Searches every byte of files for markers: in any encoding, inside containers, and as hashes."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import html
import io
import re
import sqlite3
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote_to_bytes

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

STEM = "qzx7"
"""Every marker begins with it, so that one search finds them all."""
_HEX = re.compile(rb"[0-9a-f]{8,}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{64,}={0,2}")
_ESCAPED = re.compile(rb"%[0-9a-fA-F]{2}|&#?\w+;|\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}")
_WORD = re.compile(rb"[\w.\-]*" + STEM.encode() + rb"[\w.\-]*", re.IGNORECASE)
_ALGORITHMS = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "blake2b", "blake2s")
_LONG = 12
"""Hex digits of a digest that are looked for anywhere; the first eight only where a run begins."""


@dataclass
class Dictionary:
    """Everything that must not be found: markers, words without the stem, and their hashes."""

    markers: set[str]
    words: set[str]
    """Those that cannot carry the stem: dates, UIDs, numbers."""
    _prefixes: dict[bytes, str] = field(default_factory=dict)
    _needles: dict[bytes, str] = field(default_factory=dict)
    _raw: dict[int, str] = field(default_factory=dict)
    _known: npt.NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    _seen: dict[bytes, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for word in {*self.markers, *self.words}:
            for variation in variations(word):
                for name, digest in _digests(variation.encode()):
                    what = f"{name} of {variation!r}"
                    self._prefixes[digest.hex().encode()[:8]] = what
                    self._prefixes[digest.hex().encode()[:_LONG]] = what
                    if len(digest) >= 8:
                        self._raw[struct.unpack("<Q", digest[:8])[0]] = what
        self._known = np.array(sorted(self._raw), np.uint64)
        # A machine may be called `vm`, whose hex stands in many a file by chance.
        for word in {STEM, *(word for word in self.words if len(word) >= len(STEM))}:
            self._needles |= _encoded(word)

    def search(self, content: bytes, *, inside: bool = True) -> list[str]:
        """What is found in some bytes, and with `inside` in what they hold."""
        key = hashlib.sha256(content).digest() + bytes([inside])
        if key not in self._seen:
            self._seen[key] = list(self._search(content, inside))
        return self._seen[key]

    def _search(self, content: bytes, inside: bool) -> Iterator[str]:
        lower = content.lower()
        for needle, what in self._needles.items():
            source = lower if needle == needle.lower() else content
            if needle in source:
                place = source.index(needle)
                word = _WORD.search(content, max(0, place - 40), place + 80)
                around = content[max(0, place - 60) : place + 80] if word is None else word[0]
                yield f"{what}: {around!r}"
        yield from self._hashes(lower)
        yield from self._raw_digests(content)
        for piece in _inside(content) if inside else ():
            for found in self.search(piece, inside=piece is not content):
                yield f"inside: {found}"

    def _hashes(self, lower: bytes) -> Iterator[str]:
        for run in _HEX.finditer(lower):
            text = run[0]
            if (what := self._prefixes.get(text[:8])) is not None:
                yield f"{what}: {text[:64]!r}"
            for start in range(len(text) - _LONG + 1):
                if (what := self._prefixes.get(text[start : start + _LONG])) is not None:
                    yield f"{what}: {text[:64]!r}"

    def _raw_digests(self, content: bytes) -> Iterator[str]:
        for offset in range(min(8, len(content))):
            part = content[offset:]
            values = np.frombuffer(part[: len(part) // 8 * 8], "<u8")
            places = np.minimum(np.searchsorted(self._known, values), len(self._known) - 1)
            for value in values[self._known[places] == values]:
                yield f"raw {self._raw[int(value)]}"


def variations(word: str) -> set[str]:
    """A word as it could go into a hash: stripped, lower, upper, without a suffix, as a path."""
    path = Path(word)
    found = {word, word.strip(), word.lower(), word.upper(), path.stem, path.name}
    found |= {f"{each}{end}" for each in set(found) for end in ("\n", ".png", ".dcm")}
    return found - {""}


def _digests(content: bytes) -> Iterator[tuple[str, bytes]]:
    for name in _ALGORITHMS:
        yield name, hashlib.new(name, content).digest()
    for size in (8, 16, 20):
        yield f"blake2b-{size}", hashlib.blake2b(content, digest_size=size).digest()
    yield "crc32", struct.pack(">I", zlib.crc32(content))


def _encoded(word: str) -> dict[bytes, str]:
    """A word in each encoding; base64 at each of the three places where it can begin."""
    plain = word.encode()
    found = {
        plain: "text",
        plain[::-1]: "reversed",
        plain.hex().encode(): "hex",
        word.encode("utf-16-le"): "UTF-16",
        word.encode("utf-16-be"): "UTF-16",
        word.encode("utf-32-le"): "UTF-32",
    }
    for case in (plain, plain.upper(), plain.capitalize()):
        for before in range(3):
            text = base64.b64encode(bytes(before) + case)
            # Only whole groups of four that no neighbour changes.
            first, last = -(-before * 8 // 6), (before + len(case)) * 8 // 6
            found[text[first:last]] = "base64"
    return {needle: what for needle, what in found.items() if len(needle) >= 4}


def _inside(content: bytes) -> Iterator[bytes]:
    """What some bytes hold: members of archives, tables, compressed chunks, decoded text."""
    if content[:4] == b"PK\3\4":
        yield from _members(content)
    elif content[:2] == b"\x1f\x8b":
        yield gzip.decompress(content)
    elif content[:4] == b"PAR1":
        yield _parquet(content)
    elif content[:15] == b"SQLite format 3":
        yield from _database(content)
    elif content[:8] == b"\x89PNG\r\n\x1a\n":
        yield from _png(content)
    else:
        for found in _BASE64.finditer(content):
            text = found[0].replace(b"-", b"+").replace(b"_", b"/")
            yield base64.b64decode(text[: len(text) // 4 * 4])
        if _ESCAPED.search(content):
            yield _unescaped(content)


def _unescaped(content: bytes) -> bytes:
    text = unquote_to_bytes(content).decode("utf-8", "replace")
    text = html.unescape(html.unescape(text))
    text = re.sub(r"\\[ux]([0-9a-fA-F]{2,4})", lambda m: chr(int(m[1], 16)), text)
    return text.encode("utf-8", "replace").replace(b"%", b"").replace(b"\\", b"").replace(b"&", b"")


def _members(content: bytes) -> Iterator[bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            yield name.encode()
            yield archive.read(name)


def _parquet(content: bytes) -> bytes:
    table = pq.read_table(io.BytesIO(content))
    return f"{table.schema.metadata} {table.schema} {table.to_pydict()}".encode()


def _database(content: bytes) -> Iterator[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "database"
        path.write_bytes(content)
        database = sqlite3.connect(path)
        for (name,) in database.execute("SELECT name FROM sqlite_master").fetchall():
            if not name.startswith("sqlite_autoindex"):
                for row in database.execute(f'SELECT * FROM "{name}"'):
                    for value in row:
                        yield value if isinstance(value, bytes) else str(value).encode()
        database.close()


def _png(content: bytes) -> Iterator[bytes]:
    place = 8
    while place + 8 <= len(content):
        size, kind = struct.unpack(">I4s", content[place : place + 8])
        body = content[place + 8 : place + 8 + size]
        if kind in (b"zTXt", b"iTXt", b"iCCP"):
            for start in range(min(120, len(body))):  # after a key and a few flags
                if body[start : start + 1] == b"x":
                    with contextlib.suppress(zlib.error):
                        yield zlib.decompress(body[start:])
        place += 12 + size


def search_files(dictionary: Dictionary, roots: Iterable[Path]) -> list[str]:
    """What is found in the files under some folders: in their names below, and in their bytes."""
    found = []
    for root in roots:
        for path in sorted(root.rglob("*")):
            name = str(path.relative_to(root))
            found += [f"name of {name}: {one}" for one in dictionary.search(name.encode())]
            if path.is_file():
                found += [f"{name}: {one}" for one in dictionary.search(path.read_bytes())]
    return list(dict.fromkeys(found))
