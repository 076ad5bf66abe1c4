"""`robust audit` and `robust report` on several findings of one model, against one audit each."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from robust.auditing import audit_findings, audit_plan
from robust.auditing import findings as audited_findings
from robust.engine.database.clean_outputs import CleanOutputs
from robust.errors import InputError
from robust.plan.load import load_plan, make_plan
from robust.records import FindingsReport, Report
from tests.cli.commands import Robust, refused

NAMES = ["Edema", "Mass", "Effusion", "Hernia"]
NETWORK = """
import torch
from torch import nn

COUNT = [0]

class Bands(nn.Module):
    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor([12.0, 8.0, 3.0, 5.0]))

    def forward(self, x):
        COUNT[0] += len(x)
        bands = torch.stack([x[:, 0, 7 * k : 7 * k + 7].mean((1, 2)) for k in range(4)], 1)
        return (bands - 0.45) * self.slope

def net():
    return Bands()
"""
PLAN = """
title = "Four findings"
[model]
factory = "bands:net"
outputs = {names}
finding = {finding}
[data]
path = "chestmnist.npz"
group = "none"
{data}
[audit]
eps = ["4/255", "16/255"]
{audit}
[doubts]
probe = false
[report]
gallery = 0
[[attacks]]
name = "FGSM"
{gates}
"""


def write_files(finding: str = '"all"', audit: str = "", data: str = "", gates: str = "") -> None:
    """plan.toml, the network, and 32 images with four label columns; nobody has the last finding."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (32, 4)).astype(np.uint8)
    labels[:, 3] = 0
    images = rng.integers(60, 90, (32, 28, 28)).astype(np.uint8)
    for k in range(3):
        images[labels[:, k] == 1, 7 * k : 7 * k + 7] += 80
    arrays = {
        f"{s}_{what}": a
        for s in ("test", "val", "train")
        for what, a in (("images", images), ("labels", labels))
    }
    np.savez("chestmnist.npz", **arrays)
    Path("bands.py").write_text(NETWORK, encoding="utf-8")
    text = PLAN.format(
        names=json.dumps(NAMES), finding=finding, audit=audit, data=data, gates=gates
    )
    Path("plan.toml").write_text(text, encoding="utf-8")


def without_timings(report: Report) -> Report:
    return dataclasses.replace(
        report,
        title="",
        plan={},
        model=dataclasses.replace(report.model, source={}),
        timings=dataclasses.replace(
            report.timings, seconds=0.0, by_cell={}, audited="", reported="", acceleration=None
        ),
    )


def test_each_finding_is_what_its_own_audit_finds(robust: Robust) -> None:
    """Rows, thresholds, intervals and verdicts, with one pass of each clean image for all."""
    write_files(audit="sensitivity = 0.9")
    answer = robust("audit", "plan.toml", "--out", "run")
    assert answer.code == 0, answer.err
    found = FindingsReport.load("run")
    assert [entry.finding for entry in found.entries] == NAMES
    assert [(e.finding, e.why_not) for e in found.not_audited] == [
        ("Hernia", "no case has it in split test")
    ]
    for number, (entry, report) in enumerate(found.reports):
        write_files(str(number), audit="sensitivity = 0.9", data=f'label = "{number}"')
        audit_plan(load_plan("plan.toml"), out=f"alone{number}")
        assert without_timings(report) == without_timings(Report.load(f"alone{number}/report.json"))
        assert report.model.finding_output == number and entry.folder == entry.finding.lower()
    assert len({report.model.threshold for _, report in found.reports}) == 3
    page = Path("run/report.html").read_text(encoding="utf-8")
    text = Path("run/report.md").read_text(encoding="utf-8")
    for name in NAMES:
        assert name in page and name in text and name in answer.out
    assert 'href="edema/report.html"' in page and "no case has it" in page
    assert not Path("run/clean_outputs.sqlite").exists()
    lines = list(csv.DictReader(Path("run/results.csv").read_text(encoding="utf-8").splitlines()))
    clean = {line["finding"]: line for line in lines if line["kind"] == "clean"}
    for entry, report in found.reports:
        assert float(clean[entry.finding]["accuracy"]) == report.clean.accuracy.value
        assert float(clean[entry.finding]["threshold"]) == pytest.approx(
            report.model.threshold, rel=1e-8
        )


def test_clean_images_go_through_the_network_once(monkeypatch: pytest.MonkeyPatch) -> None:
    write_files()
    kept: list[CleanOutputs] = []

    class Counted(CleanOutputs):
        def __init__(self, folder: Path | None, key: str) -> None:
            super().__init__(folder, key)
            kept.append(self)

    monkeypatch.setattr(audited_findings, "CleanOutputs", Counted)
    audit_findings(load_plan("plan.toml"), out="run")
    assert kept[0].computed == 32


def test_a_run_that_was_cut_short_ends_with_the_same_reports(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Cut after the first finding, and in the second one."""
    write_files()
    plan = load_plan("plan.toml")
    audit_findings(plan, out="whole")
    run = audited_findings.run_request
    calls: list[int] = []

    def cut(request: object) -> Report:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return run(request)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(audited_findings, "run_request", cut)
        with pytest.raises(KeyboardInterrupt):
            audit_findings(plan, out="run")
    assert Path("run/edema/report.json").exists() and not Path("run/findings.json").exists()
    audit_findings(plan, out="run")
    first, again = FindingsReport.load("whole"), FindingsReport.load("run")
    assert first.entries == again.entries
    for (_, one), (_, other) in zip(first.reports, again.reports, strict=True):
        assert without_timings(one) == without_timings(other)


@pytest.mark.slow
def test_a_list_of_findings_and_their_report(robust: Robust) -> None:
    write_files('["Effusion", 0]')
    assert robust("audit", "plan.toml", "--out", "run").code == 0
    assert [e.finding for e in FindingsReport.load("run").entries] == ["Edema", "Effusion"]
    told = robust("report", "run", "--format", "text", "--format", "csv")
    assert told.code == 0 and "Effusion" in told.out and "wrote run/results.csv" in told.out
    assert "no format 'latex'" in robust("report", "run", "--format", "latex").err
    one = robust("audit", "plan.toml", "--finding", "Edema,Mass", "--out", "two")
    assert one.code == 0 and len(FindingsReport.load("two").reports) == 2


@pytest.mark.slow
def test_gates_hold_for_every_finding(robust: Robust) -> None:
    """A finding that could not be audited does not pass."""
    gates = "[gates]\nclean_accuracy = 0.5"
    write_files('["Edema", "Mass"]', gates=gates)
    assert robust("audit", "plan.toml", "--out", "run", "--gate").code == 0
    assert Path("run/mass/junit.xml").exists()
    assert robust("report", "run", "--format", "text", "--gate").code == 0
    write_files(gates=gates)
    assert robust("audit", "plan.toml", "--out", "more", "--gate").code == 1


@pytest.mark.parametrize(
    ("finding", "said"),
    [
        ('["Oedema"]', ("'Oedema'", "did you mean Edema")),
        ("[7]", ("finding 7 is out of range", "4 outputs")),
        ('["Hernia"]', ("no finding can be audited", "Hernia: no case has it")),
    ],
)
def test_findings_that_are_not_there(robust: Robust, finding: str, said: tuple[str, ...]) -> None:
    write_files(finding)
    answer = robust("audit", "plan.toml", "--out", "run")
    assert answer.code == 2
    for part in said:
        assert part in answer.err.splitlines()[-1]


def test_shards_take_one_finding(robust: Robust) -> None:
    write_files()
    refused(robust("audit", "plan.toml", "--shard", "1/2", "--out", "run"), "one finding")
    fit = robust("fit-detector", "plan.toml", "--detector", "LID", "--out", "guard")
    assert fit.code == 2 and len(fit.err.splitlines()) == 1


def test_python_asks_for_the_function_that_fits(robust: Robust) -> None:
    write_files()
    plan = load_plan("plan.toml")
    with pytest.raises(InputError, match="audit_findings"):
        audit_plan(plan)
    found = audit_findings(plan)
    assert repr(found) == "<FindingsReport 'Four findings': 3 audited, 1 not>"
    assert found.report("Mass").model.finding_output == 1
    with pytest.raises(KeyError, match="Hernia"):
        found.report("Hernia")
    with pytest.raises(InputError, match="name the findings"):
        audit_findings(make_plan({"model": {"factory": "a:b"}, "data": {"path": "x"}}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda raw: raw.update(version=2), "version 2"),
        (lambda raw: raw["findings"][0].update(folder="../x"), "outside"),
        (lambda raw: raw["findings"][0].update(folder=3), "not an index"),
        (lambda raw: raw.pop("title"), "not an index"),
        (lambda raw: raw["findings"][0].update(folder="gone"), "gone"),
    ],
)
def test_a_damaged_index(robust: Robust, change: object, said: str) -> None:
    Path("run").mkdir()
    raw = {"version": 1, "title": "t", "findings": [{"finding": "a", "folder": "a", "why_not": ""}]}
    change(raw)  # type: ignore[operator]
    Path("run/findings.json").write_text(json.dumps(raw), encoding="utf-8")
    answer = robust("report", "run")
    assert answer.code == 2 and said in answer.err and len(answer.err.splitlines()) == 1


@pytest.mark.parametrize("labels", ["columns", "cells"])
def test_findings_of_a_table(labels: str) -> None:
    """Several columns with -1 and blank, or several findings in a cell; names differ in capitals."""
    write_files()
    with np.load("chestmnist.npz") as arrays:
        images, found = arrays["test_images"], arrays["test_labels"].astype(object)
    Path("images").mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image).save(f"images/{i}.png")
    names = ["edema", "MASS", "Effusion"]
    if labels == "columns":
        found[0, 0], found[1, 0] = -1, ""
        header, data = (
            ["file", "group", *names],
            f'label = {json.dumps(names)}\nuncertain = "exclude"\nblank = "exclude"',
        )
        lines = [[f"{i}.png", f"p{i}", *row[:3]] for i, row in enumerate(found)]
    else:
        header, data = ["file", "group", "label"], 'separator = "|"'
        cells = [
            "|".join(n for n, one in zip(names, row, strict=False) if one) or "none"
            for row in found
        ]
        lines = [[f"{i}.png", f"p{i}", cell] for i, cell in enumerate(cells)]
    with Path("images/cases.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *lines])
    plan = PLAN.format(names=json.dumps(NAMES), finding='"all"', audit="", data=data, gates="")
    plan = plan.replace('path = "chestmnist.npz"\ngroup = "none"', 'path = "images"')
    Path("table.toml").write_text(plan, encoding="utf-8")
    result = audit_findings(load_plan("table.toml"))
    assert [(e.finding, bool(e.why_not)) for e in result.entries] == [
        ("Edema", False),
        ("Mass", False),
        ("Effusion", False),
        ("Hernia", True),
    ]
    cases = [report.data.cases for _, report in result.reports]
    assert cases == ([30, 32, 32] if labels == "columns" else [32, 32, 32])
    same = audit_findings(load_plan("plan.toml")).report("Mass")
    assert result.report("Mass").clean.scores.auc == same.clean.scores.auc
    assert result.report("Mass").worst.robust_accuracy == same.worst.robust_accuracy
