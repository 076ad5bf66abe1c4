"""JSON schemas of the TOML files for editors, from the models that check them."""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import textwrap
from typing import Any, get_args

from pydantic import BaseModel

DRAFT = "http://json-schema.org/draft-04/schema#"
"""The newest draft that Taplo reads, the language server behind Even Better TOML."""


def toml_schema(model: type[BaseModel], name: str) -> dict[str, Any]:
    """JSON schema (draft 4) of a file that `model` checks; docstrings become descriptions.

    It says less than the check itself: contradictions between fields, names of attacks and their
    parameters are not in it. `name` is what the file is called.
    """
    schema = model.model_json_schema(mode="validation")
    tables = {one.__name__: one for one in _tables(model)}
    parts = {model.__name__: schema, **schema.get("$defs", {})}
    for title, part in parts.items():
        if title in tables:
            _describe(part, tables[title])
    plain: dict[str, Any] = _for_toml(schema)
    return {"$schema": DRAFT, "title": f"{name}.toml of robust", **plain}


def field_docs(kind: type[Any]) -> dict[str, str]:
    """The string under each field, by name, of a class and the classes it inherits from."""
    found: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        if one.__module__ != "builtins" and one is not BaseModel:
            found |= _own_docs(one)
    return found


@functools.cache  # to find a class, its whole file is read and parsed
def _own_docs(kind: type[Any]) -> dict[str, str]:
    """The same of the class alone; empty where its source is not there."""
    try:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    except (OSError, TypeError, SyntaxError):
        return {}
    found: dict[str, str] = {}
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    for field, text in itertools.pairwise(body):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            found[field.target.id] = " ".join(str(text.value.value).split())
    return found


def _tables(model: type[BaseModel]) -> list[type[BaseModel]]:
    """The model, and every model that its fields hold at any depth."""
    found = [model]
    for one in found:
        for field in one.model_fields.values():
            found += [inner for inner in _models(field.annotation) if inner not in found]
    return found


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def _describe(part: dict[str, Any], table: type[BaseModel]) -> None:
    part["description"] = " ".join(inspect.cleandoc(table.__doc__ or "").split())
    docs = field_docs(table)
    for name, content in part["properties"].items():
        if name in docs:
            content["description"] = docs[name]


def _for_toml(node: Any, *, named: bool = False) -> Any:
    """In the words of draft 4, without what TOML cannot write (null) and what no editor shows.

    `named`: the keys of this mapping are names of fields, and none of a schema's own words.
    """
    if isinstance(node, list):
        return [_for_toml(one) for one in node]
    if not isinstance(node, dict):
        return node
    if named:
        return {key: _for_toml(value) for key, value in node.items()}
    found: dict[str, Any] = {}
    for key, value in node.items():
        if key == "title" or (key == "default" and not _is_shown(value)):
            continue
        if key == "anyOf":
            kinds = [_for_toml(one) for one in value if one != {"type": "null"}]
            found |= kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
        elif key in _BOUNDS:
            found |= {_BOUNDS[key]: value, key: True}
        elif key == "const":
            found["enum"] = [value]
        elif key == "$ref":
            found[key] = value.replace("#/$defs/", "#/definitions/")
        else:
            inner = _for_toml(value, named=key in ("properties", "$defs"))
            found[_RENAMED.get(str(key), str(key))] = inner
    return found


_BOUNDS = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}
_RENAMED = {"prefixItems": "items", "$defs": "definitions"}


def _is_shown(default: Any) -> bool:
    """Whether a default is one that a reader can use: no whole table, no fraction of 255."""
    if isinstance(default, list):
        return bool(default) and not any(isinstance(one, dict | float) for one in default)
    return default is not None and not isinstance(default, dict)
