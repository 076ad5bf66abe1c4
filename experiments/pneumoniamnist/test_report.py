"""A published classifier on the official test split: clean figures, and the committed ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.metrics import roc_auc_score

from robust.auditing import audit
from robust.engine.inputs import open_plan
from robust.plan.load import load_plan
from robust.records import Report

FOLDER = Path(__file__).parent


@pytest.mark.parametrize(
    "attacks",
    [["FGSM"], pytest.param(["FGSM", "MarginPGD"], marks=pytest.mark.slow)],
    ids=" ".join,
)
def test_clean_figures_and_rows_of_the_table(
    attacks: list[str], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(FOLDER.parent.parent)
    plan = load_plan(FOLDER / "plan.toml")
    classifier, cases = open_plan(plan, "cpu")
    asked: dict[str, Any] = {
        "attacks": attacks,
        "eps": ["16/255"],
        "doubts": {"probe": False},
    }
    report = audit(classifier, cases, device="cpu", **asked)
    accuracy, area = report.clean.scores.accuracy, report.clean.scores.auc
    assert accuracy is not None and area is not None
    assert accuracy.value == 520 / 624
    assert round(area.value, 4) == 0.9338

    committed = Report.load(FOLDER / "report.json")
    assert committed.model.weights_sha256 == report.model.weights_sha256
    assert committed.data.pixels_sha256 == report.data.pixels_sha256
    assert [row.attack for row in report.rows] == attacks
    for row in report.rows:
        name = {"MarginPGD": "CW"}.get(row.attack, row.attack)  # as the plan labels it
        found, known = row.scores.success, committed.result(name, row.eps).scores.success
        assert found is not None and known is not None
        assert found.value == pytest.approx(known.value, abs=1.5 / 520)


@pytest.mark.slow
def test_the_author_ranked_by_tied_sigmoids(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER.parent.parent)
    classifier, cases = open_plan(load_plan(FOLDER / "plan.toml"), "cpu")
    x = torch.stack([cases[i].image for i in range(len(cases))])
    y = [entry.label for entry in cases.entries]
    with torch.no_grad():
        logit = classifier.eval().outputs(x).flatten()
    probability = torch.sigmoid(logit)
    assert round(roc_auc_score(y, logit), 4) == 0.9338
    assert round(roc_auc_score(y, probability), 4) == 0.9339
    assert len(probability.unique()) < len(logit.unique())
