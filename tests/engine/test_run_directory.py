"""The run directory: nothing is left of a run that never began, nothing of the user's is touched."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from robust.auditing import audit
from robust.cases import open_cases
from robust.cases.images import as_png
from robust.errors import InputError
from robust.models import Classifier
from tests.engine.nets import BRIEF, classifier, phantoms, trained

BROKEN = nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 2))
with torch.no_grad():
    BROKEN[1].weight.fill_(torch.nan)


def refuse(out: Path) -> None:
    cases = phantoms(8)
    with pytest.raises(InputError, match="NaN"):
        audit(Classifier(BROKEN, channels=1, head="softmax"), cases, attacks=["FGSM"], out=out)


def test_folders_made_for_a_refused_run_go_again(tmp_path: Path) -> None:
    refuse(tmp_path / "a" / "b" / "run")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_of_the_users_stays_empty(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    refuse(tmp_path / "mine")
    assert [p.name for p in tmp_path.rglob("*")] == ["mine"]


def test_a_folder_where_a_kill_left_the_lock_alone_is_taken(tmp_path: Path) -> None:
    (tmp_path / "run.lock").touch()
    cases = phantoms(8)
    audit(classifier(), cases, attacks=["FGSM"], eps=["4/255"], out=tmp_path, **BRIEF)
    assert (tmp_path / "report.json").exists()


def test_work_done_survives_a_failure_in_mid_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(*_: object, **__: object) -> None:
        raise InputError("memory ran out")

    monkeypatch.setattr("robust.engine.mixed_precision.attack_batch", out_of_memory)
    cases = phantoms(8)
    with pytest.raises(InputError, match="memory ran out"):
        audit(classifier(), cases, attacks=["FGSM"], out=tmp_path / "run")
    assert (tmp_path / "run" / "outcomes.sqlite").exists()


def test_a_skipped_file_is_named_on_the_terminal_and_nowhere_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rng = np.random.default_rng(0)
    for name in ("normal", "opacity"):
        (tmp_path / "in" / name).mkdir(parents=True)
        for i in range(3):
            pixels = rng.integers(0, 256, (28, 28), dtype=np.uint8)
            (tmp_path / "in" / name / f"{i}.png").write_bytes(as_png(pixels))
    (tmp_path / "in" / "normal" / "Jane_Doe.png").write_bytes(b"no image")
    cases = open_cases(tmp_path / "in", group="none")
    with caplog.at_level(logging.WARNING):
        report = audit(
            Classifier(trained(28), channels=1, head="softmax"),
            cases,
            attacks=["FGSM"],
            eps=["4/255"],
            doubts={"probe": False},
            out=tmp_path / "run",
            skip_broken=True,
        )
    assert report.data.skipped_broken == 1
    assert "Jane_Doe.png" in caplog.text
    for path in (p for p in (tmp_path / "run").rglob("*") if p.is_file()):
        assert b"Jane_Doe" not in path.read_bytes(), path.name
