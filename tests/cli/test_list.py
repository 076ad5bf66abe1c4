"""`robust list`."""

from __future__ import annotations

from tests.cli.commands import Robust, refused


def test_every_detector_is_listed_with_its_paper(robust: Robust) -> None:
    from detectors import DETECTORS

    listed = robust("list", "detectors").out
    assert all(name in listed for name in DETECTORS)
    assert "Feinman" in listed and "Ma et al." in listed
    refused(robust("list", "detector"), "did you mean detectors?")
