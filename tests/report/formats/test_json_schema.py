"""The published JSON schema: equal to the records, and every type and field is described."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from robust import records
from robust.records import SCHEMA_VERSION, Report
from robust.report.formats.json_schema import PUBLISHED, published_text, report_schema

SCHEMA = report_schema()
TYPES: dict[str, dict[str, Any]] = {"Report": SCHEMA, **SCHEMA["$defs"]}


def test_the_published_file_is_that_of_the_records() -> None:
    assert PUBLISHED.read_text(encoding="utf-8") == published_text()
    assert SCHEMA["properties"]["schema_version"]["const"] == SCHEMA_VERSION


@pytest.mark.parametrize("name", list(TYPES))
def test_every_type_and_field_is_described(name: str) -> None:
    kind = getattr(records, name)
    assert {field.name for field in dataclasses.fields(kind)} == set(TYPES[name]["properties"])
    assert len(TYPES[name]["description"]) > 15 and "(" + "self" not in TYPES[name]["description"]
    for field, content in TYPES[name]["properties"].items():
        assert len(content.get("description", "")) > 10, f"{name}.{field} has no description"


def test_every_record_is_published() -> None:
    kinds = {name for name, kind in vars(records).items() if dataclasses.is_dataclass(kind)}
    index = {"FindingEntry", "FindingsReport"}  # of several reports, in a file of its own
    sweep = {
        name
        for name in kinds
        if vars(records)[name].__module__
        in ("robust.records.sweep", "robust.records.sweep_statistics")
    }
    assert (
        kinds - {"FlagText", "SplitCopies", *index, *sweep} == set(TYPES)
        and Report.__name__ in kinds
    )
