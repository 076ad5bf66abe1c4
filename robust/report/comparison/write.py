"""Writes the folder of a comparison of two runs, and reads what it was about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from robust.errors import InputError, excerpt
from robust.files import read_text, write_atomically
from robust.records import record_from
from robust.records.report import MOST_BYTES
from robust.report.comparison.compare import Comparison
from robust.report.comparison.document import comparison_document
from robust.report.comparison.show import as_json, as_markdown
from robust.report.formats.html import render_page

COMPARISON = "comparison.json"
"""In the folder of a comparison."""
COMPARISON_FILES = (COMPARISON, "comparison.html", "comparison.md")
"""All files of the folder."""
COMPARISON_FORMATS = ("html", "md", "json")


def render_comparison(comparison: Comparison, kind: str, tolerance: float | None) -> str:
    """The content of a file in one of `COMPARISON_FORMATS`."""
    if kind == "html":
        return render_page(comparison_document(comparison, tolerance))
    return (as_json if kind == "json" else as_markdown)(comparison, tolerance)


def write_comparison(comparison: Comparison, tolerance: float | None, folder: Path) -> list[Path]:
    """Write `COMPARISON_FILES`; the paths."""
    written = []
    for name in COMPARISON_FILES:
        text = render_comparison(comparison, name.rpartition(".")[2], tolerance)
        write_atomically(folder / name, text.encode("utf-8", "replace"))
        written.append(folder / name)
    return written


def read_comparison(folder: Path) -> Comparison:
    """The comparison.json of a folder; InputError."""
    path = folder / COMPARISON
    try:
        raw: dict[str, Any] = json.loads(read_text(path, MOST_BYTES))
        del raw["tolerance"]
        for change in raw["changes"]:
            del change["result"]  # follows from the rest
            change.pop("against tolerance", None)
        found: Comparison = record_from(Comparison, raw)
        return found
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InputError(f"{excerpt(path, 300)} is not a comparison that robust wrote") from None
