"""Registration of attacks: every attack class that the package imports, by name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from attacks.contract import require_attack_class

NO_ATTACKS = ("attacks.contract", "attacks.streams", "attacks.threat", "attacks.adaptive.contract")
"""Modules that define other classes, beside those of `attacks.image_agnostic`."""

FORMER_NAMES = {
    "CW": "MarginPGD",
    "KappaPGD": "ConfidencePGD",
    "MinimumDistance": "MinimumNormEnsemble",
    "Standard": "AutoAttack",
}
FORMER_FIELDS = {"objective": "loss", "takeover": "margin_fallback"}


def attack_classes(namespace: Mapping[str, Any]) -> dict[str, type[Any]]:
    """The attack classes of a module, by name.

    Raises ValueError, with what is wrong, for a class that breaks the contract.
    """
    classes = {}
    for name, kind in sorted(namespace.items()):
        home = getattr(kind, "__module__", "")
        other = home in NO_ATTACKS or home.startswith("attacks.image_agnostic.")
        if isinstance(kind, type) and home.startswith("attacks.") and not other:
            require_attack_class(kind)
            classes[name] = kind
    return classes


def unknown_name(name: str, names: list[str]) -> str:
    """Why there is no attack of that name, and which is meant."""
    if name in FORMER_NAMES:
        return f"{name} is now called {FORMER_NAMES[name]}"
    return f"unknown attack {name!r}; {nearest(name, names)}"


def unknown_field(attack: str, field: str, names: list[str]) -> str:
    """Why an attack has no field of that name, and which is meant."""
    if FORMER_FIELDS.get(field) in names:
        return f"{attack}: {field} is now called {FORMER_FIELDS[field]}"
    return f"{attack} has no field {field!r}; {nearest(field, names)}"


def nearest(word: str, names: list[str]) -> str:
    """A hint: the name most similar to the word, if any, and all names."""
    by_lower = {entry.lower(): entry for entry in names}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.5)
    guess = f"did you mean {by_lower[close[0]]}? " if close else ""
    return f"{guess}there are: {', '.join(names)}"
