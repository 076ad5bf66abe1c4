"""Every field of a plan and of a recipe says what it means: the site's page is made from that."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from robust.plan import gates, spec
from robust.training import recipe


def tables() -> Iterator[type[BaseModel]]:
    for module in (spec, gates, recipe):
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if issubclass(kind, BaseModel) and kind.__module__ == module.__name__:
                yield kind


@pytest.mark.parametrize("kind", list(tables()), ids=lambda kind: kind.__name__)
def test_every_field_has_a_docstring(kind: type[BaseModel]) -> None:
    (body,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(body, ast.ClassDef) and ast.get_docstring(body)
    silent = [
        node.target.id
        for node, after in zip(body.body, [*body.body[1:], None])
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and not (
            isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
            and isinstance(after.value.value, str)
        )
    ]
    assert not silent
