"""`robust report` where a run directory cannot be written, or a server does not answer."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.commands import Robust, contents
from tests.records.test_report import report


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A report in a folder in which no file can be made."""
    Path("run").mkdir()
    report().save(Path("run/report.json"))

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


def test_a_server_that_is_down_costs_no_report(
    robust: Robust, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    Path("run").mkdir()
    report().save(Path("run/report.json"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    answer = robust("report", "run", "--format", "html", "--track", address)
    assert answer.code == 2 and answer.out == "wrote run/report.html\n"
    assert answer.err.splitlines()[-1].startswith(f"robust: the tracking server {address} does not")
    assert "Traceback" not in answer.err and Path("run/report.html").exists()
