"""Rebuild a record from the plain values of its JSON."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any


def build(kind: Any, raw: Any) -> Any:
    """Turn parsed JSON into the annotated type: dataclasses, optionals, tuples, mappings."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return kind(**{name: build(hints[name], value) for name, value in raw.items()})
    if origin in (types.UnionType, typing.Union):
        return None if raw is None else build(arguments[0], raw)
    if origin is tuple:
        kinds = arguments[:1] * len(raw) if arguments[1:] == (...,) else arguments
        return tuple(build(one, value) for one, value in zip(kinds, raw, strict=True))
    if origin is Mapping or (origin is not None and issubclass(origin, Mapping)):
        return {key: build(arguments[1], value) for key, value in raw.items()}
    return raw
