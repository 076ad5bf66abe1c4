"""Reports are written whole, and read back."""

from __future__ import annotations

from pathlib import Path

import pytest

from robust.errors import InputError
from robust.report import read_report, write_report
from tests.records.test_report import report

FILES = ["report.html", "report.json", "report.md", "results.csv"]


def test_formats_are_written_whole_and_read_back(tmp_path: Path) -> None:
    made = report()
    paths = write_report(made, tmp_path)
    assert sorted(p.name for p in paths) == FILES
    assert sorted(p.name for p in tmp_path.iterdir()) == FILES
    assert read_report(tmp_path) == made
    with pytest.raises(InputError, match=r"unknown format 'htm'; did you mean html"):
        write_report(made, tmp_path, "htm")
