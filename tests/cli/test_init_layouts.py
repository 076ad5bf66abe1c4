"""`robust init --layout`: public data sets are audited as published, by the printed command."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from robust.auditing import audit_plan, dry_run
from robust.cli.plan_options.overrides import plan_from
from robust.drafting.layouts import LAYOUTS
from tests.cli.commands import Robust
from tests.drafting import sets

QUICK = {
    "attacks": [{"name": "FGSM"}],
    "audit.eps": ["4/255"],
    "doubts.probe": False,
    "report.gallery": 0,
}


class Expected(NamedTuple):
    cases: int
    """Of the audited split."""
    classes: tuple[str, ...]
    grouped: bool = True
    finding: str = ""


EXPECTED = {
    "nih-cxr14": Expected(8, ("no Mass", "Mass"), finding="Mass"),
    "chexpert": Expected(20, ("no Edema", "Edema"), finding="Edema"),
    "rsna": Expected(3, ("no opacity", "opacity")),
    "vindr": Expected(
        1, ("no Lung Opacity", "Lung Opacity"), grouped=False, finding="Lung Opacity"
    ),
    "ham10000": Expected(3, ("other", "malignant")),
    "isic2019": Expected(4, ("other", "malignant")),
    "aptos": Expected(4, ("not referable", "referable"), grouped=False),
    "eyepacs": Expected(6, ("not referable", "referable")),
    "odir": Expected(8, ("no diabetes", "diabetes")),
    "brset": Expected(4, ("no diabetic_retinopathy", "diabetic_retinopathy")),
    "padchest": Expected(2, ("no normal", "normal"), finding="normal"),
    "mimic-cxr": Expected(12, ("no Pneumonia", "Pneumonia")),
    "kaggle-pneumonia": Expected(12, ("NORMAL", "PNEUMONIA")),
    "medmnist": Expected(12, ("normal", "pneumonia"), grouped=False),
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The speed of a toy network matters to nobody."""
    monkeypatch.setattr(dry_run, "PASSING_SECONDS", 0.01)


def published(data: Path, layout: str) -> Path:
    """The set of a layout in the current folder."""
    folder = Path(layout)
    sets.SETS[layout](data / "label_files", folder)
    return folder


def printed(out: str) -> list[str]:
    """The audit command that was printed, without the program's name."""
    line = next(line for line in out.splitlines() if line.startswith("Audit:"))
    words = shlex.split(line.removeprefix("Audit:"))
    assert words[0] == "robust"
    return words[1:]


def audited(out: str) -> dict[str, Any]:
    """The report of the printed command, made quick, without its page."""
    command, plan = printed(out)
    assert command == "audit"
    audit_plan(plan_from(Path(plan), QUICK), out="run")
    return json.loads(Path("run/report.json").read_text())


def test_every_layout_is_tried() -> None:
    assert set(EXPECTED) == set(LAYOUTS) == set(sets.SETS)


@pytest.mark.parametrize("layout", EXPECTED)
def test_a_public_set_is_audited_as_published(layout: str, data: Path, robust: Robust) -> None:
    if layout == "odir":
        pytest.importorskip("openpyxl")
    folder, expected = published(data, layout), EXPECTED[layout]
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    finding = ("--finding", expected.finding) if expected.finding else ()
    made = robust("init", folder, "--layout", layout, "--model", "toy_factory:build", *finding)
    assert made.code == 0, made.err + made.out
    report = audited(made.out)
    seen = report["data"]
    assert seen["cases"] == expected.cases
    assert set(seen["classes"]) == set(expected.classes)
    assert seen["findings"] == [expected.classes[1]]
    assert seen["grouped"] == expected.grouped
    doubts = {flag["name"] for flag in report["flags"]}
    assert ("no groups" in doubts) == (not expected.grouped)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
