"""Names of the architectures of timm and torchvision, read from their sources without import."""

from __future__ import annotations

import fnmatch
import importlib.util
import re
from pathlib import Path

_REGISTERED = re.compile(
    r"^@register_model(?:\(([^)]*)\))?\n(?:^@.*\n|^    .*\n|^\)\n)*^def (\w+)", re.MULTILINE
)
_RENAMED = re.compile(r'^\s*(?:name\s*=\s*)?"(\w+)"')


def architecture_names(pattern: str = "*") -> dict[str, list[str]]:
    """By library, those that match a shell pattern; empty where a library is laid out otherwise."""
    return {
        library: sorted(fnmatch.filter(_names(library), pattern), key=_natural)
        for library in ("timm", "torchvision")
    }


def _names(library: str) -> set[str]:
    """Functions that register themselves, or the names under which they do."""
    spec = importlib.util.find_spec(library)
    if spec is None or spec.origin is None:
        return set()
    found = set()
    for path in (Path(spec.origin).parent / "models").glob("*.py"):
        for arguments, function in _REGISTERED.findall(path.read_text(encoding="utf-8")):
            renamed = _RENAMED.match(arguments)
            found.add(renamed[1] if renamed else function)
    return found


def _natural(name: str) -> list[tuple[int, str]]:
    """So that `resnet50` comes before `resnet101`."""
    parts = re.split(r"(\d+)", name.lower())
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
