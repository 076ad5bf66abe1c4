"""A plan of a segmenter on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from robust.auditing import dry_run
from tests.auditing.test_segmenters import PLAN
from tests.cli.commands import Robust, refused

GIVEN = ("audit", "plan.toml", "--allow-code")


@pytest.fixture(autouse=True)
def written(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan of volumes, in the folder of the test."""
    monkeypatch.setattr(dry_run, "PASSING_SECONDS", 0.01)
    (here / "plan.toml").write_text(PLAN, "utf-8")


def test_its_cost_and_its_audit(robust: Robust) -> None:
    done = robust(*GIVEN, "--dry-run")
    assert done.code == 0, done.err
    said = " ".join(done.out.split())
    assert "6 of 3 patients" in said and "background" not in said
    assert "outlines 6 of 6 well" in said or "outlines 2 of 2 well" in said
    done = robust(*GIVEN, "--out", "run")
    assert done.code == 0, done.err
    assert "with a Dice of at least 0.6" in " ".join(done.out.split())
    assert Path("run/report.html").is_file()
    done = robust("report", "run")
    assert done.code == 0 and "mean Dice" in done.out


def test_what_a_segmenter_does_not_have(robust: Robust) -> None:
    volumes = robust("attack", "plan.toml", "--out", "images", "--eps", "0.5", "--allow-code")
    refused(volumes, "the cases are volumes")
    assert not Path("images").exists()
    refused(robust(*GIVEN, "--detector", "MaxSoftmax", "--out", "run"), "detectors")
    fitted = robust("fit-detector", "plan.toml", "--detector", "MaxSoftmax", "--out", "d.json")
    refused(fitted, "masks")
    for before, after, says in (
        ("[data]", 'task = "classification"\n[data]', "task is classification"),
        ("[audit]", '[twin]\nprecision = "float16"\n[audit]', "[twin] has no meaning"),
        ("[audit]", "[audit]\nsensitivity = 0.9", "sensitivity"),
        ("[audit]", '[audit]\ngoal = "mask"', "needs the mask to reach"),
    ):
        Path("plan.toml").write_text(PLAN.replace(before, after), "utf-8")
        refused(robust(*GIVEN, "--out", "run"), says)
    Path("plan.toml").write_text(PLAN.replace('"L2-slice"', '"L9"'), "utf-8")
    refused(robust(*GIVEN, "--out", "run"), "norm")
