"""Values laid over the tables of a plan or a recipe, by the dotted name of their field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from robust.errors import InputError, did_you_mean

Changes = Mapping[str, Any]
"""Values by the dotted name of the field that they set: `{"audit.seed": 3}`."""


def lay_over(raw: dict[str, Any], changes: Changes) -> None:
    """Set every field in the tables of a TOML file; InputError where there is no such place."""
    for field, value in changes.items():
        put(raw, field, value)


def put(raw: dict[str, Any], field: str, value: Any) -> None:
    """Set one field; entries of `[[attacks]]` and `[[detectors]]` are found by label or name."""
    *tables, name = field.split(".")
    node: Any = raw
    for depth, table in enumerate(tables):
        if isinstance(node, list):
            node = _entry(node, table, ".".join(tables[:depth]))
        else:
            node = node.setdefault(table, {})
        if not isinstance(node, dict | list):
            raise InputError(f"[{'.'.join(tables[: depth + 1])}] must be a table")
    if isinstance(node, list):
        raise InputError(f"{field} names a whole entry; name a field of it: {field}.FIELD=VALUE")
    node[name] = value


def _entry(entries: list[Any], name: str, where: str) -> Any:
    names = [
        str(entry.get("label") or entry.get("name")) if isinstance(entry, dict) else ""
        for entry in entries
    ]
    if name not in names:
        hint = did_you_mean(name, names) if names else "it is empty"
        raise InputError(f"[[{where}]] has no {name!r}; {hint}")
    return entries[names.index(name)]
