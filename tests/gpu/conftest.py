"""Tests that need a GPU: skipped where there is none, or rehearsed on the CPU when asked to.

ROBUST_REHEARSE=cpu python -m pytest -m gpu
"""

from __future__ import annotations

import os

import pytest
import torch


@pytest.fixture
def gpu() -> torch.device:
    """The first GPU; in a rehearsal the CPU."""
    rehearsal = os.environ.get("ROBUST_REHEARSE")
    if rehearsal is None and not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    return torch.device(rehearsal or "cuda")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Say why a test failed as it fails: a run that is cut at its limit prints no summary."""
    if report.failed and "gpu" in report.keywords:
        print(f"\n{report.nodeid}\n{report.longreprtext}")
