"""`robust list`."""

from __future__ import annotations

from docs.dependencies import GROUPS
from robust.models.formats.registry import FILES, LIBRARIES
from tests.cli.commands import Robust, refused


def test_every_detector_is_listed_with_its_paper(robust: Robust) -> None:
    from detectors import DETECTORS

    listed = robust("list", "detectors").out
    assert all(name in listed for name in DETECTORS)
    assert "Feinman" in listed and "Ma et al." in listed
    refused(robust("list", "detector"), "did you mean detectors?")


def test_every_model_format_is_listed_with_an_extra_that_exists(robust: Robust) -> None:
    from robust.cli.list import MODEL_FORMATS

    listed = robust("list", "formats").out
    spellings = {"hf-hub", "hf_hub", "timm:hf_hub"}
    for name in (*FILES, *(f"{library}:" for library in LIBRARIES if library not in spellings)):
        assert name in listed, name
    extras = {extra for _, _, extra, _ in MODEL_FORMATS} - {""}
    assert extras <= set(GROUPS)
    assert all(extra in listed for extra in extras)


def test_every_source_of_a_model_is_listed_and_has_an_option(robust: Robust) -> None:
    from robust.plan.spec import SOURCES

    listed, help = robust("list", "formats").out, robust("audit", "--help").out
    for name in SOURCES:
        assert name in listed and f"--{name}" in help
    assert "refused" in listed


def test_every_certificate_and_every_corruption_is_listed(robust: Robust) -> None:
    from robust.certificates.registry import CERTIFICATES
    from robust.corruptions.registry import CORRUPTIONS, MODALITIES, corruptions_of

    listed = robust("list", "certificates").out
    assert all(name in listed for name in CERTIFICATES) and "Cohen et al. 2019" in listed
    shown = robust("list", "corruptions").out
    listable = {one.name for name in MODALITIES for one in corruptions_of(name)}
    assert all(name in shown for name in (*MODALITIES, *listable)) and listable <= set(CORRUPTIONS)
    refused(robust("list", "certificate"), "did you mean certificates?")


def test_hand_made_features_are_listed_under_the_name_that_builds_them(robust: Robust) -> None:
    from robust.models.architectures import find_library

    assert "robust:gist" in robust("list", "models").out
    assert find_library("robust:gist") == ("robust", "gist")
