"""JSON schema of report.json, from the records: `python -m robust.report.formats.json_schema`."""

from __future__ import annotations

import ast
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import TypeAdapter

from robust import records
from robust.records import SCHEMA_VERSION, Report

PUBLISHED = Path(__file__).with_name("report.schema.json")
"""The schema that comes with the package; a test keeps it equal to the records."""


def report_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of the report, every type and field with its docstring as description."""
    schema = TypeAdapter(Report).json_schema(mode="serialization")
    for part in dataclasses.fields(Report):
        if not part.init:  # computed, so that pydantic leaves it out
            computed = TypeAdapter(get_type_hints(Report)[part.name]).json_schema()
            schema["properties"][part.name] = computed
    described = _descriptions()
    for name, part in {"Report": schema, **schema.pop("$defs")}.items():
        part["additionalProperties"] = False
        part["required"] = sorted(part["properties"])
        for field, content in part["properties"].items():
            content.pop("title", None)
            content.pop("default", None)
            content["description"] = described[name, field]
        part["description"] = described[name, ""]
        if name != "Report":
            schema.setdefault("$defs", {})[name] = part
    schema["properties"]["schema_version"]["const"] = SCHEMA_VERSION
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:robust:report:{SCHEMA_VERSION}",
        **schema,
        "title": "report.json of robust",
    }


def _descriptions() -> dict[tuple[str, str], str]:
    """(class, field) to the docstring below the field, and (class, "") to that of the class."""
    found = {}
    for path in sorted(Path(records.__file__).parent.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                found[node.name, ""] = " ".join((ast.get_docstring(node) or "").split())
                found |= {(node.name, field): text for field, text in _fields(node)}
    return found


def _fields(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """Each field that has a docstring below it, with that docstring."""
    for field, text in zip(node.body, node.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            yield field.target.id, " ".join(str(text.value.value).split())


def published_text() -> str:
    """Text of the published schema file."""
    return json.dumps(report_schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PUBLISHED.write_text(published_text(), encoding="utf-8")
