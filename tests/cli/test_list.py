"""`robust list`."""

from __future__ import annotations

from tests.cli.commands import Robust, refused


def test_every_detector_is_listed_with_its_paper(robust: Robust) -> None:
    from detectors import DETECTORS

    listed = robust("list", "detectors").out
    assert all(name in listed for name in DETECTORS)
    assert "Feinman" in listed and "Ma et al." in listed
    refused(robust("list", "detector"), "did you mean detectors?")


def test_every_model_format_is_listed_and_every_source_has_an_option(robust: Robust) -> None:
    from robust.models.formats.registry import FILES, LIBRARIES
    from robust.plan.spec import SOURCES

    listed = robust("list", "formats").out
    for name in (
        "ONNX",
        "Keras",
        "TensorFlow Lite",
        "TorchScript",
        ".pt2",
        "MONAI",
        "Hugging Face",
    ):
        assert name in listed
    assert all(suffix in listed for suffix in FILES) and "refused" in listed
    shown = {loader for prefix, loader in LIBRARIES.items() if f"{prefix}:" in listed}
    assert shown == set(LIBRARIES.values())
    help = robust("audit", "--help").out
    for name in SOURCES:
        assert name in listed and f"--{name}" in help
