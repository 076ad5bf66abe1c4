"""A whole audit keeps to its device, and ends in the report of the CPU."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

from attacks import FGSM, CarliniWagnerL2, Square
from robust.auditing import audit
from robust.cases import open_cases
from robust.models import Classifier
from tests.another_device import another_device
from tests.engine.nets import phantoms, trained

SETTINGS: dict[str, Any] = {
    "attacks": [FGSM(), CarliniWagnerL2(steps=10, binary_steps=2), Square(queries=20)],
    "detectors": ["KernelDensity", "LID", "Mahalanobis", "DeepFeatures", "QuantizedFeatures"],
    "eps": ["16/255"],
    "detection": {"adaptive": 4, "adaptive_steps": 4},
}


def run(folder: Path, device: str) -> tuple[Any, list[dict[str, str]]]:
    report = audit(
        Classifier(trained(28), channels=1),
        phantoms(40),
        reference=open_cases("phantom:chest_xray", split="train", count=120, pixels=28),
        out=folder,
        device=device,
        **SETTINGS,
    )
    with (folder / "outcomes.csv").open() as table:
        return report, list(csv.DictReader(table))


def test_an_audit(tmp_path: Path) -> None:
    here, outcomes = run(tmp_path / "here", "cpu")
    with another_device() as device:
        there, found = run(tmp_path / "there", str(device))
    assert found == outcomes
    assert here.detection is not None and there.detection is not None
    assert replace(there.detection, adaptive=()) == replace(here.detection, adaptive=())
    for one, other in zip(there.detection.adaptive, here.detection.adaptive, strict=True):
        # The attacks name a kappa that was measured: its last digits follow the kernels.
        assert replace(one, attacks={}) == replace(other, attacks={})
    assert there.attacks == here.attacks
