"""A sweep is read back as it was written; what is not one is an error in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from robust.errors import InputError
from robust.records import SWEEP, Estimate, SweepAxis, SweepMember, SweepNumber, SweepReport

REPORT = SweepReport(
    "Two networks",
    (SweepAxis("seed", ("0", "1"), "random"),),
    (SweepMember("seed 0", {"seed": "0"}, "runs/a"), SweepMember("seed 1", {}, "", why_not="cut")),
    (SweepNumber("seed 0", "AUC", "clean", Estimate(0.9, 0.8, None, 20, 10)),),
)


def test_a_sweep_is_read_as_it_was_written(tmp_path: Path) -> None:
    REPORT.save(tmp_path)
    assert SweepReport.load(tmp_path) == REPORT
    assert [member.name for member in REPORT.finished] == ["seed 0"]
    assert repr(REPORT) == "<SweepReport 'Two networks': 1 of 2 models>"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('"version": 1', '"version": 2'), "has version 2"),
        (('"axes"', '"axis"'), "is not a sweep that robust wrote"),
        (('"random"', '"often"'), "is not a sweep that robust wrote"),
        (("{", "["), "is not a sweep that robust wrote"),
    ],
)
def test_other_files_are_an_error(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    REPORT.save(tmp_path)
    path = tmp_path / SWEEP
    path.write_text(path.read_text(encoding="utf-8").replace(*change), encoding="utf-8")
    with pytest.raises(InputError, match=said):
        SweepReport.load(tmp_path)
