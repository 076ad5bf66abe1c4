"""A whole audit keeps to its device, and ends in the report of the CPU."""

from __future__ import annotations

import csv
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attacks import FGSM, CarliniWagnerL2, Square
from robust.auditing import audit
from robust.cases import open_cases
from robust.engine import runner
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


class AtOnce:
    """In place of a pool: the device is known to one thread alone."""

    def __init__(self, *args: object, **options: object) -> None:
        pass

    def __enter__(self) -> AtOnce:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def submit(self, work: Callable[..., Any], *args: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(work(*args))
        return done


@pytest.mark.slow
def test_an_audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "ThreadPoolExecutor", AtOnce)
    here, outcomes = run(tmp_path / "here", "cpu")
    with another_device() as device:
        there, found = run(tmp_path / "there", str(device))
    assert found == outcomes
    assert here.detection is not None and there.detection is not None
    assert replace(there.detection, adaptive=()) == replace(here.detection, adaptive=())
    for one, other in zip(there.detection.adaptive, here.detection.adaptive, strict=True):
        # Searches that go on for many steps follow the last digits of the detector.
        assert (one.detector, one.fooled) == (other.detector, other.fooled)
    assert there.attacks == here.attacks
