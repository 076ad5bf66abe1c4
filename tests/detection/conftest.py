"""One audit with detectors, shared by the tests that read what it left."""

from __future__ import annotations

from pathlib import Path

import pytest

from robust.records import Detection, Report
from tests.detection.runs import NEAREST, run


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "run"
    attacks = ["Noise", "FGSM", "PGD", NEAREST]
    run(out=out, attacks=attacks, detection={"fit_on": ["PGD", "CarliniWagnerL2"]})
    return out


@pytest.fixture(scope="session")
def found(folder: Path) -> Detection:
    detection = Report.load(folder / "report.json").detection
    assert detection is not None
    return detection
