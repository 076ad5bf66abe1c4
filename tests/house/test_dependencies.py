"""Dependencies: none under the GPL, every bound holds here, and none admits a known hole."""

from __future__ import annotations

import re
from importlib.metadata import metadata, version

import pytest
from packaging.requirements import Requirement

from docs.dependencies import CHOSEN, dependencies, project

HOLES = {
    "filelock": "3.20.2",  # CVE-2026-22701
    "jinja2": "3.1.5",  # CVE-2025-27516
    "opencv-python-headless": "4.8.0.76",  # CVE-2023-4863
    "pillow": "12.2.0",  # CVE-2026-55798 and others
    "pyarrow": "14.0.0",  # CVE-2023-47248
    "pydicom": "3.0.1",  # CVE-2026-32711
    "scikit-learn": "1.4.2",  # CVE-2024-5206
    "torch": "2.9.1",  # CVE-2026-24747
}
"""The last version with a hole, by package; a bound may not admit it."""
LISTED = {one.name: one for one in map(Requirement, project()["dependencies"])}


@pytest.mark.parametrize(("name", "last"), HOLES.items())
def test_no_bound_admits_a_known_hole(name: str, last: str) -> None:
    assert last not in LISTED[name].specifier


@pytest.mark.parametrize("extra", ["ray", "dev"])
def test_no_bound_admits_a_ray_whose_dashboard_is_open(extra: str) -> None:
    lines = map(Requirement, project()["optional-dependencies"][extra])
    (ray,) = [one for one in lines if one.name == "ray"]
    assert "2.53.0" not in ray.specifier and ray.specifier.contains(version("ray"))


@pytest.mark.parametrize("extra", ["train", "dev"])
def test_the_malicious_releases_of_lightning_are_left_out(extra: str) -> None:
    lines = map(Requirement, project()["optional-dependencies"][extra])
    (lightning,) = [one for one in lines if one.name == "lightning"]
    assert "2.6.2" not in lightning.specifier and "2.6.3" not in lightning.specifier


@pytest.mark.parametrize("name", LISTED)
def test_what_is_installed_is_within_the_bounds(name: str) -> None:
    assert LISTED[name].specifier.contains(version(name), prereleases=True)


def test_a_licence_is_chosen_only_where_it_is_offered() -> None:
    for name, licence in CHOSEN.items():
        pytest.importorskip(name)
        offered = metadata(name).get_all("Classifier") or ()
        several = [one for one in offered if one.startswith("License ::")]
        assert len(several) > 1 and any(licence in one for one in several)


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("nbconvert", "7.16.6"),  # CVE-2025-53000
        ("weasyprint", "69.0"),  # CVE-2026-55073
    ],
)
def test_no_bound_of_dev_admits_a_known_hole(name: str, last: str) -> None:
    lines = map(Requirement, project()["optional-dependencies"]["dev"])
    (one,) = [line for line in lines if line.name == name]
    assert last not in one.specifier


def test_nothing_that_robust_needs_is_under_the_gpl() -> None:
    found = dependencies()
    assert {"numpy", "imagecodecs", "torch", "sympy", "maite", "build"} <= {o.name for o in found}
    assert all(one.licence for one in found)
    wrong = [
        one for one in found if re.search(r"\bA?GPL|(?<!Lesser )General Public|Affero", one.licence)
    ]
    assert not wrong
