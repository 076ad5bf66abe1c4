"""`robust report` on a run directory that cannot be written."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.commands import RUN, Robust, contents, write_plan


@pytest.fixture
def read_only(robust: Robust, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run in a folder in which no file can be made."""
    write_plan()
    assert robust(*RUN).code == 0
    Path("run/report.html").unlink()

    @contextmanager
    def refuse(path: Path) -> Iterator[Path]:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))
        yield path

    monkeypatch.setattr("robust.files.replacing", refuse)
    return Path("run")


def test_it_prints_the_report_and_says_that_no_file_was_written(
    robust: Robust, read_only: Path
) -> None:
    before = contents(read_only)
    answer = robust("report", read_only)
    assert answer.code == 0
    assert "still correct" in answer.out and "wrote" not in answer.out
    assert "no HTML report: run cannot be written to: permission denied" in answer.err
    assert contents(read_only) == before


def test_a_file_that_was_asked_for_is_an_error(robust: Robust, read_only: Path) -> None:
    answer = robust("report", read_only, "--format", "html")
    assert answer.code == 2 and answer.out == ""
    (line,) = answer.err.splitlines()
    assert line.startswith("robust: run cannot be written to: permission denied")
    assert line.endswith("; --format text writes no file")
    assert robust("report", read_only, "--format", "text").code == 0
