"""Attacks and detectors with their fields, read from their sources without import."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from robust.plan.code import ROOT

Package = Literal["attacks", "detectors"]
"""A package whose `__init__.py` registers a class by its import."""
_OTHERS = {"attacks": "NO_ATTACKS", "detectors": "_NO_DETECTORS"}
"""The name, in `_registry.py`, of the modules whose classes are neither."""
_APART = "attacks.image_agnostic."
"""What begins with this is no attack of one image."""


@dataclass(frozen=True)
class RegisteredClass:
    """What the source of a class says."""

    fields: tuple[str, ...]
    """Names that a plan may set."""
    constants: Mapping[str, Any]
    """Its class variables that are written as literals, such as `norms`."""


@cache
def registered(package: Package) -> dict[str, RegisteredClass]:
    """Every attack or detector by name."""
    others = _literal(package, _OTHERS[package])
    found = {}
    for module, name in _exported(package):
        if module not in others and not module.startswith(_APART) and name[0].isupper():
            body = _class(module, name)
            if body is not None and _is_dataclass(body):
                found[name] = RegisteredClass(*_members(module, body))
    return dict(sorted(found.items()))


def _path(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(_path(module).read_text(encoding="utf-8"))


def _literal(package: Package, name: str) -> Any:
    """The value of a constant of `_registry.py`."""
    for node in _tree(f"{package}._registry").body:
        if isinstance(node, ast.Assign) and [getattr(t, "id", "") for t in node.targets] == [name]:
            return ast.literal_eval(node.value)
    raise LookupError(f"{package}/_registry.py has no {name}")


def _exported(package: Package) -> Iterator[tuple[str, str]]:
    """Module and name of what `__init__.py` exports."""
    for node in _tree(package).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, a.name) for a in node.names if a.asname == a.name)


def _class(module: str, name: str) -> ast.ClassDef | None:
    for node in _tree(module).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return node
    return None


def _home(module: str, name: str) -> str | None:
    """The module of our packages from which a module imports a name, or itself; None elsewhere."""
    if _class(module, name) is not None:
        return module
    for node in _tree(module).body:
        if isinstance(node, ast.ImportFrom) and name in {alias.name for alias in node.names}:
            own = (node.module or "").split(".")[0] in _OTHERS
            return node.module if own else None
    return None


def _is_dataclass(body: ast.ClassDef) -> bool:
    return any(
        getattr(d.func if isinstance(d, ast.Call) else d, "id", "") == "dataclass"
        for d in body.decorator_list
    )


def _members(module: str, body: ast.ClassDef) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Fields, and class variables that are literals; those of base classes first."""
    fields: dict[str, None] = {}
    constants: dict[str, Any] = {}
    for base in body.bases:
        name = getattr(base, "id", "")
        home = _home(module, name)
        inner = None if home is None else _class(home, name)
        if home is not None and inner is not None:
            names, known = _members(home, inner)
            fields |= dict.fromkeys(names)
            constants |= known
    for node in body.body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        if "ClassVar" in ast.unparse(node.annotation):
            try:
                constants[node.target.id] = ast.literal_eval(node.value) if node.value else None
            except ValueError:
                continue
        elif _is_dataclass(body) and not _is_hidden(node.value):
            fields[node.target.id] = None
    return tuple(fields), constants


def _is_hidden(value: ast.expr | None) -> bool:
    """Whether a field is `field(repr=False)`: none of a plan."""
    return isinstance(value, ast.Call) and any(
        k.arg == "repr" and getattr(k.value, "value", True) is False for k in value.keywords
    )
