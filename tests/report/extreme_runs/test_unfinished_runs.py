"""Runs that were cut short: reported on as their finished cases, and continued."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file
from typer.testing import CliRunner

from robust.auditing import audit, audit_plan, unfinished_report
from robust.cli.app import app
from robust.errors import InputError
from robust.plan.load import make_plan
from robust.plan.spec import Plan
from robust.records import Report
from robust.report import FORMATS, read_report, write_report
from robust.report.figures.style import ReportFigure
from robust.report.text.reproduce import plan_toml
from tests.engine.nets import trained
from tests.report.extreme_runs.test_extreme_runs import classifier, model, no_number, phantoms
from tests.report.hostile import ElementPage

CHUNK, COUNT = 8, 24


class Stop:
    """Interrupts a run once so many cells have been begun after the clean images."""

    def __init__(self, cells: int) -> None:
        self.left = cells

    def __call__(self, done: float, total: float, label: str) -> None:
        self.left -= " at " in label
        if self.left < 0:
            raise KeyboardInterrupt


def cut_short_plan(base: Path) -> Plan:
    save_file(trained(28).state_dict(), base / "w.safetensors")
    return make_plan(
        {
            "title": "A run",
            "model": model(base),
            "data": {"path": "phantom:chest_xray", "count": COUNT, "pixels": 28},
            "attacks": [{"name": "Noise"}, {"name": "FGSM"}, {"name": "PGD"}],
            "audit": {"eps": ["1/255", "4/255"], "chunk": CHUNK},
            "doubts": {"probe": False},
        }
    )


def interrupt(plan: Plan, out: Path, cells: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        audit_plan(plan, out=out, device="cpu", progress=Stop(cells))


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Plan, Path]]:
    """A run of three chunks that was interrupted in its third, after two cells of six."""
    base = tmp_path_factory.mktemp("cut")
    plan = cut_short_plan(base)
    interrupt(plan, base / "run", 14)
    yield plan, base / "run"


def test_a_run_cut_short_is_reported_on_as_its_finished_cases(cut: tuple[Plan, Path]) -> None:
    _, folder = cut
    before = sorted(path.name for path in folder.iterdir())
    found = unfinished_report(folder)
    assert sorted(path.name for path in folder.iterdir()) == before
    assert found.flags[0].name == "run cut short"
    assert f"{2 * CHUNK} of {COUNT} cases" in found.flags[0].observed
    assert (found.data.cases, found.data.unfinished) == (2 * CHUNK, CHUNK)
    assert found.table_sha256 == ""
    alone = audit(
        classifier(),
        phantoms(COUNT).select(range(2 * CHUNK)),
        attacks=["Noise", "FGSM", "PGD"],
        eps=["1/255", "4/255"],
        chunk=CHUNK,
        device="cpu",
        doubts={"probe": False},
    )
    for field in ("clean", "rows", "worst_cases", "difficulty"):
        assert getattr(found, field) == getattr(alone, field), field
    assert [f for f in found.flags if f.name != "run cut short"] == list(alone.flags)
    assert found.data.pixels_sha256 == alone.data.pixels_sha256


def shell(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_the_command_calls_it_unfinished_in_every_format(
    cut: tuple[Plan, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, folder = cut
    printed = {"pdf"}  # takes a browser or WeasyPrint
    formats = [part for name in {*FORMATS, "text"} - printed for part in ("--format", name)]
    out = shell("report", str(folder), *formats)
    assert "Warning: run cut short: 16 of 24 cases are finished" in out
    monkeypatch.setattr(ReportFigure, "svg", lambda figure, **_: "<svg></svg>")  # as above
    shell("report", str(folder), "--format", "html", "--format", "md", "--template", "regulatory")
    written = {path.name for path in folder.iterdir()}
    assert {f"unfinished.{end}" for end in ("html", "md", "json", "tex", "ipynb")} <= written
    assert {"unfinished-regulatory.html", "unfinished-regulatory.md", "figures"} <= written
    assert not [name for name in written if name.startswith(("report", "regulatory", "outcomes.c"))]
    for name in sorted(written):
        if name.endswith((".html", ".md")):
            text = (folder / name).read_text(encoding="utf-8")
            assert "run cut short" in text and "16 of 24 cases are finished" in text, name
            seen = "\n".join(ElementPage(text).texts) if name.endswith(".html") else text
            assert not no_number.search(seen), name
            assert "SHA-256 \n" not in seen and not re.search(r"SHA-256\s*$", seen, re.M), name
    assert Report.load(folder / "unfinished.json") == dataclasses.replace(
        unfinished_report(folder), timings=Report.load(folder / "unfinished.json").timings
    )
    with pytest.raises(InputError, match="not finished"):
        read_report(folder)


def test_a_run_cut_before_its_first_case_says_so(tmp_path: Path) -> None:
    plan = cut_short_plan(tmp_path)
    interrupt(plan, tmp_path / "run", 3)
    with pytest.raises(InputError, match="no case is finished yet"):
        unfinished_report(tmp_path / "run")


def kept(folder: Path) -> tuple[Any, bytes, list[str]]:
    """What a finished run leaves, timings aside."""
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    del report["timings"]
    gallery = sorted(path.name for path in (folder / "gallery").iterdir())
    return report, (folder / "outcomes.csv").read_bytes(), gallery


def test_the_same_command_goes_on_to_the_same_report(tmp_path: Path) -> None:
    plan = cut_short_plan(tmp_path)
    audit_plan(plan, out=tmp_path / "calm", device="cpu")
    for cells in (3, 9, 4):  # of 18, 15 and 6 that are left
        interrupt(plan, tmp_path / "cut", cells)
    found = unfinished_report(tmp_path / "cut")
    write_report(found, tmp_path / "cut")
    (tmp_path / "plan.toml").write_text(plan_toml(found), encoding="utf-8")
    run = ("audit", str(tmp_path / "plan.toml"), "--out", str(tmp_path / "cut"))
    # The report names the file of weights without its folder.
    run = (*run, "--weights", str(tmp_path / "w.safetensors"))
    lines = shell(*run, "--device", "cpu").splitlines()
    assert len(lines) <= 25 and lines[-1] == f"Report: {tmp_path / 'cut' / 'report.html'}"
    assert kept(tmp_path / "cut") == kept(tmp_path / "calm")
    assert not read_report(tmp_path / "cut").data.unfinished
