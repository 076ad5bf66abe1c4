"""Plain values, as JSON holds them, back to records."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any


def record_from(kind: Any, raw: Any) -> Any:
    """Parsed JSON as a value of the annotated type: dataclass, optional, tuple, mapping or scalar.

    TypeError for a missing field or a value of another type, KeyError for an unknown field.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = _hints(kind)
        fields = _expect(raw, Mapping, kind.__name__)
        return kind(**{name: record_from(hints[name], value) for name, value in fields.items()})
    if origin in (types.UnionType, typing.Union):
        return None if raw is None else record_from(arguments[0], raw)
    if origin is typing.Literal:
        if raw not in arguments:
            raise TypeError(f"{type(raw).__name__} in place of one of {arguments}")
        return raw
    if origin is tuple:
        values = _expect(raw, list | tuple, "a list")
        kinds = arguments[:1] * len(values) if arguments[1:] == (...,) else arguments
        if len(kinds) != len(values):
            raise TypeError(f"a list of {len(values)} in place of {len(kinds)} values")
        return tuple(record_from(one, value) for one, value in zip(kinds, values, strict=True))
    if origin is Mapping or (origin is not None and issubclass(origin, Mapping)):
        entries = _expect(raw, Mapping, "a table")
        return {
            _expect(key, str, "text"): record_from(arguments[1], value)
            for key, value in entries.items()
        }
    return _scalar(kind, raw)


def _scalar(kind: Any, raw: Any) -> Any:
    if kind is float:
        return _number(raw, int | float)
    if kind is int:
        return _number(raw, int)
    return _expect(raw, kind, kind.__name__) if kind in (str, bool) else raw


def _number(raw: Any, kinds: Any) -> Any:
    if isinstance(raw, bool):
        raise TypeError("true or false in place of a number")
    return _expect(raw, kinds, "a number" if kinds is not int else "a whole number")


def _expect(raw: Any, kind: Any, name: str) -> Any:
    if not isinstance(raw, kind):
        raise TypeError(f"{type(raw).__name__} in place of {name}")
    return raw


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)
