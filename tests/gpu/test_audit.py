"""A whole audit on a GPU: near to that of the CPU, the same run after run, and when resumed."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch

from attacks import FGSM, FMN, PGD, AutoAttack, CarliniWagnerL2, Square
from robust.auditing import audit
from robust.cases import open_cases
from robust.models import Classifier
from robust.records import Report
from tests.engine.nets import phantoms, trained

pytestmark = pytest.mark.gpu

SETTINGS: dict[str, Any] = {
    "attacks": [
        *(FGSM(), PGD(), CarliniWagnerL2(steps=15, binary_steps=3), FMN(steps=40)),
        *(AutoAttack(steps=10, queries=50), Square(queries=100)),
    ],
    "detectors": [
        *("KernelDensity", "LID", "Mahalanobis", "DeepFeatures", "QuantizedFeatures"),
        *("MaxSoftmax", "Energy"),
    ],
    "eps": ["4/255", "16/255"],
    "detection": {"adaptive": 10, "adaptive_steps": 10},
    "chunk": 16,
}


def run(folder: Path, device: str, **options: Any) -> tuple[Report, list[dict[str, str]]]:
    report = audit(
        Classifier(trained(28), channels=1),
        phantoms(32),
        reference=open_cases("phantom:chest_xray", split="train", count=120, pixels=28),
        out=folder,
        device=device,
        **SETTINGS,
        **options,
    )
    with (folder / "outcomes.csv").open() as table:
        return report, list(csv.DictReader(table))


class StopAfter:
    """Interrupts a run after some steps of its progress."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __call__(self, done: float, total: float, label: str) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def test_an_audit_equals_itself_and_nearly_that_of_the_cpu(
    tmp_path: Path, gpu: torch.device
) -> None:
    _, outcomes = run(tmp_path / "cpu", "cpu")
    there, found = run(tmp_path / "gpu", gpu.type)
    assert len(found) == len(outcomes)
    differ = sum(a["success"] != b["success"] for a, b in zip(found, outcomes, strict=True))
    assert differ <= 0.02 * len(outcomes)
    assert there.detection is not None and there.detection.adaptive
    _, repeated = run(tmp_path / "again", gpu.type)
    assert repeated == found
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "resumed", gpu.type, progress=StopAfter(20))
    _, resumed = run(tmp_path / "resumed", gpu.type)
    assert resumed == found
