"""The command line in a folder of its own, in this process."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

from robust import progress
from robust.cli import app as cli
from tests.cli.commands import TOY, Answer, Robust


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test works in a folder of its own with a factory module in it."""
    (tmp_path / "toy_factory.py").write_text(TOY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "toy_factory", raising=False)
    return tmp_path


@pytest.fixture
def robust(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Robust:
    """The command line in this process; no line of progress, however busy the machine is."""
    monkeypatch.setattr(progress, "EVERY", math.inf)

    def call(*arguments: object) -> Answer:
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["robust", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        return Answer(code, *capfd.readouterr())

    return call
