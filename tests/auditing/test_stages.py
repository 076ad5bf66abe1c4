"""A run stopped after each stage in turn: every output says what is missing, and no gate passes."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from safetensors.torch import save_file
from typer.testing import CliRunner

import robust.auditing.api as api
from robust.auditing import audit, audit_plan, unfinished_report
from robust.cli.app import app
from robust.plan.load import make_plan
from robust.plan.spec import Plan
from robust.records import STAGES, Report, stages_text
from robust.report import write_report
from robust.report.formats.terminal import print_report
from robust.report.gates import judge_gates
from robust.scenarios import twin as comparison
from tests.engine.nets import trained
from tests.report.extreme_runs.test_extreme_runs import classifier, model, phantoms
from tests.report.extreme_runs.test_unfinished_runs import Stop

STOPS = {
    "_attack": STAGES,
    "_detect": tuple(s for s in STAGES if s not in ("attacks", "storage")),
    "run_certificates": STAGES[STAGES.index("certificates") :],
    "run_corruptions": STAGES[STAGES.index("corruptions") :],
    "run_scenarios": ("scenarios", "twin", "probe", "table", "gallery"),
    "compare_twin": ("twin", "probe", "table", "gallery"),
    "probe": ("probe", "table", "gallery"),
    "write_table": ("table", "gallery"),
    "make_gallery": ("table", "gallery"),
}
"""Function of a stage that is interrupted, and what is missing then."""
SOME = ("_attack", "run_scenarios", "make_gallery")
"""The first, one amid the others and the last; all of them take half a minute."""


def plan(base: Path) -> Plan:
    """Every stage there is, small."""
    save_file(trained(28).state_dict(), base / "w.safetensors")
    return make_plan(
        {
            "title": "Every stage",
            "model": model(base),
            "data": {"path": "phantom:chest_xray", "count": 32, "pixels": 28},
            "attacks": [{"name": "PGD", "steps": 3}],
            "audit": {"eps": ["4/255"], "chunk": 16},
            "detectors": [{"name": "MaxSoftmax"}],
            "detection": {"adaptive": 4, "adaptive_steps": 2},
            "certificates": [{"name": "IntervalBounds", "cases": 4}],
            "corruptions": {"kinds": ["brightness_up"], "severities": [1], "cases": 8},
            "scenarios": {"universal": [2], "cases": 12},
            "twin": {"precision": "bfloat16"},
            "report": {"gallery": 1},
            "gates": {
                "clean_accuracy": 0.01,
                "robust_accuracy": 0.01,
                "detector_auc": 0.01,
                "withstands": 0.01,
                "no_flags": ["gradients vanish", "missing class"],
            },
        }
    )


def stop(patched: pytest.MonkeyPatch, name: str, after_calls: int = 0) -> None:
    """Interrupt a run where it calls this function."""
    real, left = getattr(api, name), [after_calls]

    def interrupted(*arguments: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    patched.setattr(api, name, interrupted)


def interrupt(plan: Plan, out: Path, name: str) -> None:
    with pytest.MonkeyPatch.context() as patched, pytest.raises(KeyboardInterrupt):
        if name == "_attack":
            audit_plan(plan, out=out, device="cpu", progress=Stop(cells=1))
        stop(patched, name)
        audit_plan(plan, out=out, device="cpu")


@pytest.fixture(autouse=True)
def few_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "QUERIES", 80)


def outputs(report: Report, folder: Path, pages: bool) -> dict[str, str]:
    """Every output that has text; `pages`: the HTML too, whose figures take longest."""
    page = ("html",) if pages else ()
    write_report(report, folder, *page, "md", "json", "latex")
    write_report(report, folder, *page, "md", template="regulatory")
    texts = {path.name: path.read_text("utf-8") for path in folder.glob("unfinished*")}
    console = Console(file=StringIO(), width=200)
    print_report(report, console)
    return {**texts, "terminal": console.file.getvalue()}  # type: ignore[attr-defined]


def plain_text(text: str) -> str:
    """On one line, and without the marks that LaTeX needs."""
    return " ".join(text.split()).replace("{-}", "-")


@pytest.mark.parametrize(
    "stops", [pytest.param(SOME, id="some"), pytest.param(STOPS, id="all", marks=pytest.mark.slow)]
)
def test_after_each_stage_every_output_says_what_is_missing(
    stops: Iterable[str], tmp_path: Path
) -> None:
    made, run = plan(tmp_path), tmp_path / "run"
    for name in stops:
        missing = STOPS[name]
        interrupt(made, run, name)
        report = unfinished_report(run)
        assert report.missing_stages == missing, name
        assert not report.is_finished and report.cut_short
        assert report.flags[0].name == "run cut short"
        assert set(report.verdicts) == {"no verdict: run cut short"}
        assert bool(report.scenarios) is ("scenarios" not in missing)
        assert (report.detection is not None) is ("detectors" not in missing)
        results = judge_gates(report)
        assert len(results) == 6
        said = f"missing: {stages_text(missing)}"
        assert all(r.outcome == "undecided" and said in r.why for r in results), name
        pages = stops is STOPS or name == SOME[0]
        for output, text in outputs(report, tmp_path / f"written {name}", pages).items():
            if output.endswith(".json"):
                assert json.loads(text)["missing_stages"] == list(missing)
            else:
                assert f"issing: {stages_text(missing)}" in plain_text(text), (name, output)
    done = CliRunner().invoke(app, ["report", str(run), "--format", "json", "--gate"])
    assert done.exit_code == 1, done.output
    root = ET.parse(run / "junit.xml").getroot()
    assert root.get("failures") == "6"
    other = CliRunner().invoke(app, ["compare", str(run), str(run)])
    assert other.exit_code != 0
    finished = audit_plan(made, out=run, device="cpu")
    assert finished.is_finished and finished.missing_stages == ()
    assert Report.load(run / "report.json") == finished
    calm = audit_plan(made, out=tmp_path / "calm", device="cpu")
    for field in ("flags", "rows", "worst_cases", "detection", "scenarios", "table_sha256"):
        assert getattr(finished, field) == getattr(calm, field), field


def test_what_a_plan_does_not_ask_for_is_not_missing(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patched, pytest.raises(KeyboardInterrupt):
        stop(patched, "write_table")
        audit(
            classifier(),
            phantoms(12),
            attacks=["FGSM"],
            eps=["1/255"],
            gallery=0,
            doubts={"probe": False},
            out=tmp_path / "run",
            device="cpu",
        )
    assert unfinished_report(tmp_path / "run").missing_stages == ("table",)
