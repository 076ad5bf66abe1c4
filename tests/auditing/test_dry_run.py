"""A dry run: its numbers are those of the run, and it writes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from robust.auditing import audit_plan, cost, dry_run
from robust.auditing.cost_table import between_text
from robust.auditing.request import RunSettings
from robust.errors import InputError
from robust.plan.load import make_plan
from robust.plan.machines import WorkerChoice
from robust.plan.spec import Plan
from robust.report import write_report


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dry_run, "PASSING_SECONDS", 0.05)


def plan(count: int = 40, **more: object) -> Plan:
    return make_plan(
        {
            "model": {"factory": "robust.demo:network", "mean": 0.5, "std": 0.25, "channels": 3},
            "data": {"path": "phantom:chest_xray", "count": count, "pixels": 32},
            "attacks": [{"name": "FGSM"}, {"name": "PGD", "steps": 3}],
            "audit": {"eps": ["1/255", "4/255"]},
            "doubts": {"probe": False},
            **more,
        }
    )


def test_cases_cells_and_disk_are_those_of_the_run(tmp_path: Path) -> None:
    found = dry_run.dry_run(plan(), RunSettings())
    report = audit_plan(plan(), out=tmp_path / "run")
    write_report(report, tmp_path / "run", "md", "csv", "html")
    assert (found.cases, found.groups) == (report.data.cases, report.data.groups) == (40, 20)
    assert found.cells == len(report.rows) == 4
    assert found.speed.gradients and found.speed.shape == (1, 32, 32)
    written = sum(file.stat().st_size for file in (tmp_path / "run").rglob("*") if file.is_file())
    assert written / 2 < found.bytes < 2 * written
    attacks = sum(row.passes for row in report.rows if row.passes) * 40
    assert attacks <= found.passes


def test_more_cost_more_and_workers_share() -> None:
    one = dry_run.dry_run(plan(), RunSettings())
    more = dry_run.dry_run(plan(count=80), RunSettings())
    assert more.passes == 2 * one.passes and more.bytes > one.bytes
    shared = dry_run.dry_run(plan(), RunSettings(workers=WorkerChoice(2)))
    assert shared.workers == 2 and shared.passes == one.passes


def test_curve_cells_may_cost_nothing() -> None:
    exact = dry_run.dry_run(plan(), RunSettings())
    assert exact.least == exact.stages
    curve = dry_run.dry_run(
        plan(audit={"eps": ["1/255", "4/255"], "cells": "curve"}), RunSettings()
    )
    # FGSM has one step and always runs in full: 2 passes at each of two eps.
    attacks = curve.least[cost.ATTACKS] / curve.speed.each / 40
    assert attacks == pytest.approx(2 * (2 + cost.STORAGE_PASSES))
    assert curve.least_seconds < curve.seconds
    assert "at most about" in between_text(exact.least_seconds, exact.seconds)
    assert "if curve cells" in between_text(100.0, 200.0)


def test_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    dry_run.dry_run(plan(), RunSettings(out="run"))
    assert list(tmp_path.iterdir()) == []


def test_a_plan_that_cannot_run_is_refused() -> None:
    three = plan(data={"path": "phantom:chest_xray", "count": 8, "classes": ["a", "b", "c"]})
    with pytest.raises(InputError):
        dry_run.dry_run(three, RunSettings())
    with pytest.raises(InputError, match="nothing"):
        dry_run.dry_run(plan(audit={"target": "nothing"}), RunSettings())
