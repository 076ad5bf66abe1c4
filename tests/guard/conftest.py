"""Weights of one trained network, and detectors fitted to it once for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import save_file

from robust.guard import GuardArtifact, fit_detector
from tests.engine.nets import trained
from tests.guard.fits import PIXELS, plan


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_file(trained(PIXELS).state_dict(), path)
    return path


@pytest.fixture(scope="session")
def lid(weights: Path) -> GuardArtifact:
    """LID without a head."""
    return fit_detector(plan(weights, "small"), "LID", device="cpu")


@pytest.fixture(scope="session")
def max_softmax(weights: Path) -> GuardArtifact:
    """MaxSoftmax."""
    return fit_detector(plan(weights, "small"), "MaxSoftmax", device="cpu")
