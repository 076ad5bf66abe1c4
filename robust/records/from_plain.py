"""Plain values, as JSON holds them, back to records."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any


def record_from(kind: Any, raw: Any) -> Any:
    """Parsed JSON as a value of the annotated type: dataclass, optional, tuple or mapping.

    TypeError for a missing field, KeyError for an unknown one.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return kind(**{name: record_from(hints[name], value) for name, value in raw.items()})
    if origin in (types.UnionType, typing.Union):
        return None if raw is None else record_from(arguments[0], raw)
    if origin is tuple:
        kinds = arguments[:1] * len(raw) if arguments[1:] == (...,) else arguments
        return tuple(record_from(one, value) for one, value in zip(kinds, raw, strict=True))
    if origin is Mapping or (origin is not None and issubclass(origin, Mapping)):
        return {key: record_from(arguments[1], value) for key, value in raw.items()}
    return raw
