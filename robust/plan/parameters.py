"""Parameters of attack and detector instances, as their tables in a plan have them."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

_INFINITE = (math.inf, -math.inf)


def parameters_of(instance: object) -> dict[str, Any]:
    """The fields of a dataclass by name; values that TOML and JSON cannot hold as their `repr`.

    Empty for an instance of any other class.
    """
    if not dataclasses.is_dataclass(instance):
        return {}
    values = {field.name: getattr(instance, field.name) for field in dataclasses.fields(instance)}
    plain = str | int | float | None
    return {
        name: value if isinstance(value, plain) and value not in _INFINITE else repr(value)
        for name, value in values.items()
    }
