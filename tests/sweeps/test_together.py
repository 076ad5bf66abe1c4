"""Two processes in one folder, workers, jobs: the sweep of one process, each model trained once."""

from __future__ import annotations

from pathlib import Path

import pytest

from robust.records.sweep import SWEEP
from tests.sweeps.test_killed import SWEEP_TOML, command

SMALL = SWEEP_TOML.replace("[0, 1, 2]", "[0, 1]").replace("[0.25, 0.5, 1.0]", "[0.5, 1.0]")
TRAINED = "Training:"


@pytest.mark.slow
def test_processes_workers_and_jobs_end_as_one_process(tmp_path: Path) -> None:
    (tmp_path / "sweep.toml").write_text(SMALL, encoding="utf-8")
    assert command(tmp_path, "alone").wait(600) == 0
    both = [command(tmp_path, "together") for _ in range(2)]
    assert [one.wait(600) for one in both] == [0, 0]
    assert command(tmp_path, "workers", "--workers", "2").wait(600) == 0
    local = ("--engine", "slurm", "--shards", "2", "--slurm", "cluster=local")
    assert command(tmp_path, "jobs", *local).wait(600) == 0
    alone = (tmp_path / "alone" / SWEEP).read_bytes()
    assert (tmp_path / "together" / SWEEP).read_bytes() == alone
    assert (tmp_path / "workers" / SWEEP).read_bytes() == alone
    assert (tmp_path / "jobs" / SWEEP).read_bytes() == alone
    logs = [(tmp_path / f"{name}.log").read_text() for name in ("alone", "together")]
    assert [log.count(TRAINED) for log in logs] == [8, 8]
