"""`robust audit --dry-run` on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from robust.auditing import dry_run
from tests.cli.commands import RUN, Robust, refused, write_plan


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dry_run, "PASSING_SECONDS", 0.01)


def test_it_prints_the_cost_and_writes_nothing(robust: Robust) -> None:
    write_plan()
    before = set(Path().iterdir())
    done = robust(*RUN, "--dry-run")
    assert done.code == 0, done.err
    for part in ("8 of 4 patients", "1 run of an attack", "Time", "Disk", "Nothing was attacked"):
        assert part in done.out
    # Python itself may keep the compiled factory.
    assert set(Path().iterdir()) - {Path("__pycache__")} == before
    assert "with 2 workers" in robust(*RUN, "--dry-run", "--workers", "2").out


def test_what_does_not_go_with_it(robust: Robust) -> None:
    write_plan()
    for other in (("--gate",), ("--shard", "1/2"), ("--engine", "ray")):
        refused(robust(*RUN, "--dry-run", *other))
    write_plan({"factory": "toy_factory:three"})
    refused(robust(*RUN, "--dry-run"), "3 outputs, the data 2 classes")
