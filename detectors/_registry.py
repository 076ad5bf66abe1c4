"""Registration of detectors: every detector class that the package imports, by name."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any

from detectors.contract import Detector

_NO_DETECTORS = ("detectors.contract", "detectors.extraction", "detectors.features")
"""The modules whose classes are no detectors."""
_CLASS_FIELDS = ("has_head", "needs_head", "differentiable")


def registered_detectors(namespace: Mapping[str, Any]) -> dict[str, type[Detector]]:
    """The detector classes of a module, by name.

    TypeError, with what is wrong, for a class that breaks the contract.
    """
    detectors: dict[str, type[Detector]] = {}
    for name, kind in sorted(namespace.items()):
        home = getattr(kind, "__module__", "")
        if isinstance(kind, type) and home.startswith("detectors.") and home not in _NO_DETECTORS:
            require_detector_class(kind)
            detectors[name] = kind
    return detectors


def require_detector_class(kind: type) -> None:
    """TypeError, with what is wrong, for a class that breaks the contract of a detector."""
    if problem := _problem(kind):
        raise TypeError(f"{kind.__module__}.{kind.__name__} {problem}")


def _problem(kind: type) -> str:
    """What a class lacks to be a detector, or nothing."""
    if not issubclass(kind, Detector):
        return "is not a subclass of Detector (detectors/contract.py)"
    if missing := sorted(kind.__abstractmethods__):
        return f"does not define {', '.join(missing)}"
    if undeclared := [name for name in _CLASS_FIELDS if not hasattr(kind, name)]:
        return f"does not say {', '.join(undeclared)}: set it in the class"
    if not dataclasses.is_dataclass(kind) or "__dataclass_params__" not in vars(kind):
        return "is not a dataclass: decorate it with @dataclass(frozen=True)"
    if not vars(kind)["__dataclass_params__"].frozen:
        return "is not frozen: decorate it with @dataclass(frozen=True)"
    if not kind.__doc__:
        return "has no docstring: state its idea and its score"
    return ""


def nearest_name(word: str, names: list[str]) -> str:
    """A hint: the name most similar to the word, if any, and all names."""
    by_lower = {entry.lower(): entry for entry in names}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.5)
    guess = f"did you mean {by_lower[close[0]]}? " if close else ""
    return f"{guess}there are: {', '.join(names) or 'none'}"
