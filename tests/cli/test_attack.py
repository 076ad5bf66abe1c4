"""`robust attack`: what it prints as JSON is what it wrote."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.cli.commands import DATA, Robust, refused, write_cases, write_plan


def test_the_result_as_json(robust: Robust) -> None:
    write_plan(data=DATA | {"count": 24})
    answer = robust("attack", "plan.toml", "--attack", "FGSM", "--out", "made", "--json")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert (found["folder"], found["table"]) == ("made", "made/attacks.csv")
    assert (found["attack"], found["norm"], found["eps"]) == ("FGSM", "Linf", 2 / 255)
    table = list(csv.DictReader(Path("made/attacks.csv").read_text().splitlines()))
    assert found["images"] == len(found["cases"]) == len(table) > 5  # those read correctly
    assert found["fooled"] == sum(line["stored_success"] == "1" for line in table)
    assert found["dicom"] is None
    success = found["success"]
    assert success["value"] == pytest.approx(found["fooled"] / found["images"])
    assert success["low"] <= success["value"] <= success["high"]
    assert success["groups"] == len({line["group"] for line in table})
    for case, line in zip(found["cases"], table, strict=True):
        assert case.keys() == line.keys()
        assert (case["case"], case["file"]) == (line["case"], line["file"])
        assert case["stored_success"] is (line["stored_success"] == "1")
        for name in ("linf", "l2", "stored_linf", "stored_l2"):
            assert case[name] == pytest.approx(float(line[name]), rel=1e-8)
        assert 0 < case["stored_linf"] <= 2 / 255 + 1e-6


def test_a_nearest_image_has_no_eps(robust: Robust) -> None:
    write_plan(attacks=[{"name": "FMN", "norm": "L2", "steps": 5}])
    answer = robust(
        "attack", "plan.toml", "--attack", "FMN", "--limit", "2", "--out", "m", "--json"
    )
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert found["eps"] is None and found["images"] <= 2


def test_files_that_are_no_dicom_are_refused_without_a_result(robust: Robust) -> None:
    write_plan(data=write_cases([0, 1] * 4))
    answer = robust("attack", "plan.toml", "--save-dicom", "d", "--out", "made", "--json")
    refused(answer, "holds no DICOM file to write back")
    assert not Path("made").exists() and not Path("d").exists()
