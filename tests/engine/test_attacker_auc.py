"""The attacker's AUC of real runs: what an attack on every case reaches, and never above the AUC."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from attacks import PGD, Streams, ThreatModel
from robust.auditing import audit
from robust.metrics.by_group import auc
from tests.engine.nets import trained
from tests.report.extreme_runs.test_extreme_runs import classifier, phantoms

RUN: dict[str, Any] = {
    "attacks": ["FGSM", "PGD"],
    "eps": ["1/255", "4/255"],
    "chunk": 16,
    "doubts": {"probe": False},
    "gallery": 0,
    "device": "cpu",
}


def test_it_is_the_auc_after_an_attack_on_every_case(tmp_path: Path) -> None:
    cases = phantoms(40)
    report = audit(classifier(), cases, **RUN)
    x = torch.stack([cases[i].image for i in range(len(cases))])
    y = torch.tensor([entry.label for entry in cases.entries])
    streams = Streams.of(0, [cases[i].id for i in range(len(cases))], PGD().stream_key)
    for row in report.worst_cases:
        assert row.eps is not None
        threat = ThreatModel("Linf", row.eps)
        net = trained(28).eval()
        x_adv = PGD(loss="margin")(net, x, y, threat, streams)
        with torch.no_grad():
            logits = net(x_adv)
        found = auc((logits[:, 1] - logits[:, 0]).numpy(), (y == 1).numpy())
        assert row.attacker_auc.value == pytest.approx(found, abs=0.01)
        assert row.attacker_auc.value < row.auc.value - 0.03  # 17 of 40 are misread when clean
    assert report.clean.scores.attacker_auc is None


@pytest.mark.parametrize(
    ("cells", "goal"),
    [
        *(("exact", "error"), ("exact", "false alarm"), ("curve", "miss")),
        pytest.param("exact", "miss", marks=pytest.mark.slow),
        pytest.param("curve", "error", marks=pytest.mark.slow),
        pytest.param("curve", "false alarm", marks=pytest.mark.slow),
    ],
)
def test_it_is_never_above_the_auc(cells: str, goal: str) -> None:
    report = audit(classifier(), phantoms(24), **RUN, goal=goal, cells=cells)
    for row in report.worst_cases:
        assert row.attacker_auc.value <= row.auc.value


def test_attacks_on_misread_cases_change_no_other_number(tmp_path: Path) -> None:
    """They count neither as attacked nor as failed, and are not in the table."""
    report = audit(classifier(), phantoms(24), **RUN, out=tmp_path / "run")
    right = round(report.clean.accuracy.value * 24)
    assert {row.attacked for row in (*report.rows, *report.worst_cases)} == {right}
    lines = (tmp_path / "run" / "outcomes.csv").read_text().splitlines()
    assert len(lines) == 1 + 24 + 4 * right
