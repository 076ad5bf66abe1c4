"""`robust sweep` on the command line: what it tells, writes and refuses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from robust.auditing import dry_run
from robust.records.sweep import SweepReport
from robust.sweeps import cost
from tests.cli.commands import Robust, refused

SWEEP = """
title = "Two training sets"

[recipe]
data = { path = "phantom:chest_xray", count = 16, pixels = 32 }
network = { architecture = "torchvision:squeezenet1_1", pretrained = false, size = 32 }
training = { epochs = 1, batch = 8 }

[plan]
attacks = [{ name = "PGD", steps = 3 }]
audit = { eps = ["2/255"] }
report = { gallery = 0 }
doubts = { probe = false }

[[axes]]
name = "train fraction"
values = [0.5, 1.0]

[[axes]]
name = "eps"
values = ["1/255", "2/255"]
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dry_run, "PASSING_SECONDS", 0.01)
    monkeypatch.setattr(cost, "MEASURED_SECONDS", 0.01)


@pytest.fixture
def spec(robust: Robust) -> str:
    Path("sweep.toml").write_text(SWEEP, encoding="utf-8")
    return "sweep.toml"


def test_a_dry_run_tells_members_time_and_disk_and_writes_nothing(
    robust: Robust, spec: str
) -> None:
    before = set(Path().iterdir())
    done = robust("sweep", spec, "--dry-run", "--device", "cpu")
    assert done.code == 0, done.err
    assert done.out.count("shared") == 2  # the two audits of either training
    told = " ".join(done.out.split())
    # `about ..., at most ...` unless both are the same second, as on a fast machine
    assert re.search(r"4 members, 2 trainings: (about .+, )?at most .+ MiB", told), told
    assert set(Path().iterdir()) == before


def test_one_level_writes_the_page_and_names_what_is_left(robust: Robust, spec: str) -> None:
    chosen = ("--only", "train fraction=0.5", "--only", "eps=1/255")
    done = robust("sweep", spec, "--out", "out", "--device", "cpu", *chosen)
    assert done.code == 0, done.err
    report = SweepReport.load(Path("out"))
    assert [m.name for m in report.finished] == ["train fraction 0.5, 1/255"]
    assert "1 of 4 models is shown" in Path("out/sweep.md").read_text(encoding="utf-8")
    assert {f"sweep.{kind}" for kind in ("json", "csv", "parquet", "html", "md")} <= {
        file.name for file in Path("out").iterdir()
    }
    Path("sweep.toml").write_text(SWEEP.replace("steps = 3", "steps = 4"), encoding="utf-8")
    refused(robust("sweep", spec, "--out", "out"), "another plan or recipe")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--only", "seed"), "write AXIS=LEVEL"),
        (("--only", "colour=red"), "colour"),
        (("--engine", "slurm"), "needs the number of shards"),
        (("--shards", "2"), "need --engine slurm"),
        (("--dry-run", "--out", "out"), "leave --engine and --out out"),
    ],
)
def test_what_does_not_go_together(
    robust: Robust, spec: str, options: tuple[str, ...], said: str
) -> None:
    refused(robust("sweep", spec, *options), said)
    assert not Path("out").exists()


def test_a_mistake_in_a_level_names_the_file(robust: Robust, spec: str) -> None:
    Path(spec).write_text(SWEEP.replace('"2/255"]\n', '"two"]\n'), encoding="utf-8")
    refused(robust("sweep", spec), "sweep.toml: axis 'eps', two")
