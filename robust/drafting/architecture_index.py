"""Index of the architectures of timm and torchvision by the names of their tensors.

To build all of them takes minutes. After an update of a library, `python -m
robust.drafting.architecture_index` writes the index again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path

INDEX = Path(__file__).with_name("architectures.txt")
"""A line for each set of names: their digest, the last layer, and the architectures."""

Shapes = Mapping[str, tuple[int, ...]]
"""Of the tensors in a state dict, by name."""


def digest_of_names(names: Collection[str], head: str) -> str:
    """Eight hex digits of the names outside the last layer, without counters of batches."""
    kept = sorted(
        name
        for name in names
        if not name.startswith(f"{head}.") and not name.endswith("num_batches_tracked")
    )
    return hashlib.sha256("\n".join(kept).encode()).hexdigest()[:8]


def last_layer(shapes: Shapes) -> str:
    """The name of the last tensor that is a matrix or a 1 x 1 kernel, without its own part."""
    matrices = [n for n, s in shapes.items() if len(s) == 2 or (len(s) == 4 and s[2:] == (1, 1))]
    return matrices[-1].rpartition(".")[0] if matrices else ""


def architectures_like(names: Collection[str]) -> list[tuple[str, str]]:
    """Architectures whose tensors have these names outside the last layer, and its name."""
    found = []
    for head, by_digest in _index().items():
        found += [(name, head) for name in by_digest.get(digest_of_names(names, head), ())]
    return found


@cache
def _index() -> dict[str, dict[str, list[str]]]:
    """By last layer and digest."""
    index: dict[str, dict[str, list[str]]] = {}
    for line in INDEX.read_text(encoding="utf-8").splitlines():
        digest, head, *names = line.split()
        index.setdefault(head, {})[digest] = names
    return index


def make_index() -> str:
    """The text of the index, from the libraries that are installed."""
    from robust.models.architectures import list_models, shapes_of

    lines: dict[tuple[str, str], list[str]] = {}
    for library in ("torchvision", "timm"):
        for name in list_models()[library]:
            shapes = shapes_of(f"{library}:{name}")
            if shapes is None:
                continue
            head = last_layer(shapes)
            key = (digest_of_names(shapes, head), head)
            lines.setdefault(key, []).append(f"{library}:{name}")
    return "".join(f"{' '.join([*key, *names])}\n" for key, names in sorted(lines.items()))


if __name__ == "__main__":
    INDEX.write_text(make_index(), encoding="utf-8")
