"""Damage to bytes, to trees of plain values, and to archives; everything by a given generator."""

from __future__ import annotations

import copy
import io
import random
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

INTEGERS = (
    *(0, 1, 2, 7, 10, 0x7F, 0x80, 0xFF, 100, 0x7FFF, 0x8000, 0xFFFF, 65536, 1 << 20),
    *(0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, (1 << 63) - 1, 1 << 63, (1 << 64) - 1),
)
"""Ends of the ranges of sizes, counts and offsets."""
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 7, 0.5, -0.5, 1e308, -1e308, 5e-324, 2**31, 2**63, 10**30),
    *(float("nan"), float("inf"), -float("inf"), "", " ", "x", "0", "-1", "1/255", "nan", "1/0"),
    *("9" * 400, "a" * 5000, "\0", "\n", "\x1b[31m", "\u202e", "\U0001f600", "é", "[/red]", "$("),
    *("../../x", "/", "{{7*7}}", "<b>", "\\input{x}", "%s", "none", "all", "auto", "Linf", "1e400"),
    *([], {}, [[]], [None], [""], {"a": 1}, {"": []}, [0, 1], [1, 2, 3], ["a", "b"], [[1]] * 3),
)
"""What a field of any type may be given."""
TOKENS = (
    *(b"\0", b"\n", b"\r\n", b",", b'"', b'""', b"'", b"[", b"]", b"[[", b"{", b"}", b"=", b"#"),
    *(
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\xc3",
        b"\xed\xa0\x80",
        b"nan",
        b"inf",
        b"1e999",
        b"-",
        b"\\",
    ),
    *(
        b"\\u0000",
        b"\\ud800",
        b"true",
        b"null",
        b"9" * 5000,
        b"[" * 3000,
        b"1979-05-27",
        b"0x",
        b".",
    ),
)
"""Pieces of text that parsers trip over."""


def mutate_bytes(data: bytes, rng: random.Random, head: int = 256, most: int = 8) -> bytes:
    """One to `most` changes, half of them among the first `head` bytes, where headers are."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, rng.randint(1, most)))):
        if not found:
            found += bytes([rng.randrange(256)])
        reach = min(len(found), head) if rng.random() < 0.5 else len(found)
        rng.choice(_EDITS)(found, rng.randrange(reach), rng)
    return bytes(found)


def _flip(data: bytearray, at: int, rng: random.Random) -> None:
    data[at] ^= 1 << rng.randrange(8)


def _replace(data: bytearray, at: int, rng: random.Random) -> None:
    data[at] = rng.randrange(256)


def _step(data: bytearray, at: int, rng: random.Random) -> None:
    data[at] = (data[at] + rng.choice((-1, 1))) % 256


def _number(data: bytearray, at: int, rng: random.Random) -> None:
    size = rng.choice((1, 2, 4, 8))
    value = rng.choice(INTEGERS) % (1 << 8 * size)
    data[at : at + size] = value.to_bytes(size, rng.choice(("little", "big")))


def _fill(data: bytearray, at: int, rng: random.Random) -> None:
    data[at : at + rng.randint(1, 32)] = rng.choice((b"\0", b"\xff")) * rng.randint(1, 32)


def _delete(data: bytearray, at: int, rng: random.Random) -> None:
    del data[at : at + rng.randint(1, rng.choice((1, 4, 64, 1024)))]


def _insert(data: bytearray, at: int, rng: random.Random) -> None:
    data[at:at] = rng.randbytes(rng.randint(1, 16))


def _token(data: bytearray, at: int, rng: random.Random) -> None:
    data[at:at] = rng.choice(TOKENS)


def _repeat(data: bytearray, at: int, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    data[at:at] = data[start : start + rng.randint(1, 64)] * rng.choice((1, 1, 3))


def _truncate(data: bytearray, at: int, rng: random.Random) -> None:
    if rng.random() < 0.3:
        del data[at:]


_EDITS = (*(_flip, _replace, _step, _number, _fill, _delete, _insert, _token, _repeat, _truncate),)


def mutate_tree(
    tree: Any, rng: random.Random, values: tuple[Any, ...] = VALUES, most: int = 3
) -> Any:
    """Replace, remove, double, rename, wrap or move nodes of nested dicts and lists."""
    found = copy.deepcopy(tree)
    for _ in range(rng.randint(1, most)):
        places = list(_places(found))
        if not places:
            return found
        # By depth first: deep nodes are so many that none else would be chosen.
        depth = rng.choice(sorted({depth for depth, _, _ in places}))
        _, parent, key = rng.choice([place for place in places if place[0] == depth])
        kind = rng.randrange(10)
        if kind <= 3:
            alike = [value for value in values if type(value) is type(parent[key])]
            milder = alike if alike and rng.random() < 0.5 else values
            parent[key] = copy.deepcopy(rng.choice(milder))
        elif kind == 4:
            del parent[key]
        elif kind == 5:
            _double(parent, key, rng)
        elif kind == 6:
            parent[key] = rng.choice(([parent[key]], {"x": parent[key]}, str(parent[key])))
        elif kind == 7:
            _, source, name = rng.choice(places)
            if isinstance(source, dict) or name < len(source):
                parent[key] = copy.deepcopy(source[name])
        elif isinstance(parent[key], int | float) and not isinstance(parent[key], bool):
            parent[key] = rng.choice((-parent[key], parent[key] * 1000, parent[key] + 0.5))
    return found


def _places(node: Any, depth: int = 0) -> Iterator[tuple[int, Any, Any]]:
    """Depth, parent and key of every node but the root."""
    keys = list(node) if isinstance(node, dict) else range(len(node))
    for key in keys:
        yield depth, node, key
        if isinstance(node[key], dict | list):
            yield from _places(node[key], depth + 1)


def _double(parent: Any, key: Any, rng: random.Random) -> None:
    twin = copy.deepcopy(parent[key])
    if isinstance(parent, list):
        parent.insert(key, twin)
    else:
        parent[rng.choice((f"{key}x", "", "name", "é", "a" * 300, "\n"))] = twin


Member = Callable[[str, bytes, random.Random], bytes]
"""Damages one member of an archive by its name."""


def damaged_member(name: str, data: bytes, rng: random.Random) -> bytes:
    return mutate_bytes(data, rng)


def mutate_zip(data: bytes, rng: random.Random, member: Member = damaged_member) -> bytes:
    """An archive that is whole, with right checksums, whose members are damaged."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    count = min(len(members), rng.choice((1, 1, 2)))
    for at in sorted(rng.sample(range(len(members)), count), reverse=True):
        name, content = members[at]
        kind = rng.randrange(10)
        if kind <= 6 or len(members) == 1:
            members[at] = name, member(name, content, rng)
        elif kind == 7:
            del members[at]
        elif kind == 8:
            members[at] = rng.choice((f"{name}x", "../x", "", name.upper(), "é" * 9)), content
        else:
            members[at] = name, members[rng.randrange(len(members))][1]
    return pack(members, rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))


def pack(members: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip file of these members, the same bytes at any time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members:
            entry = zipfile.ZipInfo(name)  # its date is that of 1980
            entry.compress_type = method
            archive.writestr(entry, content)
    return buffer.getvalue()
