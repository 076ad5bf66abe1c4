"""Small audits with detectors, for the tests of detection."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from attacks import CarliniWagnerL2
from robust.auditing import audit
from robust.cases import Cases, open_cases
from robust.models import Classifier
from robust.records import Report
from tests.engine.nets import trained

EPS = ["2/255", "8/255"]
NEAREST = CarliniWagnerL2(steps=25, binary_steps=4)


def cases(count: int = 100, split: str = "test") -> Cases:
    return open_cases("phantom:chest_xray", split=split, count=count, pixels=28)


def run(count: int = 100, **options: Any) -> Report:
    """Of `count` cases and a reference of 120."""
    settings: dict[str, Any] = {
        "attacks": ["Noise", "FGSM", "PGD"],
        "eps": EPS,
        "detectors": ["KernelDensity", "Mahalanobis", "MaxSoftmax", "Energy"],
        "reference": cases(120, "train"),
        "doubts": {"probe": False},
        "device": "cpu",
        "gallery": 0,
    }
    # Adaptive attacks have tests of their own.
    own = {"adaptive": 0, **options.pop("detection", {})}
    every = {**settings, **options, "detection": own}
    return audit(Classifier(trained(28), channels=1), cases(count), **every)


def small(**options: Any) -> Report:
    return run(**{"attacks": ["FGSM"], "eps": ["8/255"], "detectors": ["Mahalanobis"], **options})


def lines(folder: Path) -> list[dict[str, str]]:
    with (folder / "outcomes.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def logits(line: dict[str, str]) -> list[float]:
    return [float(value) for name, value in line.items() if name.startswith("logit_")]
