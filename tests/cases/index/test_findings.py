"""Which of two classes is the finding: told by names and order, never by the alphabet."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from robust.cases import open_cases
from robust.cases.index.findings import absence_among, finding_of_two
from tests.cases.tables import write_images


@pytest.mark.parametrize(
    ("absent", "finding"),
    [
        ("NORMAL", "COVID"),
        ("healthy", "glaucoma"),
        ("No Finding", "Finding"),
        ("No_DR", "DR"),
        ("noDR", "DR"),
        ("nodr", "npdr"),
        ("non-COVID", "COVID"),
        ("nonCOVID", "COVID"),
        ("benign", "malignant"),
        ("negative", "positive"),
        ("neg", "atelectasis"),
        ("0", "1"),
        ("0", "3"),
        ("No", "Yes"),
        ("uninfected", "parasitized"),
        ("normal", "abnormal"),
        ("healthy", "not healthy"),
        ("nevus", "melanoma"),
        ("a_well", "b_sick"),
        ("seborrheic keratosis", "melanoma"),
        ("control", "Alzheimer"),
    ],
)
def test_the_names_tell_the_finding_in_either_order(absent: str, finding: str) -> None:
    assert finding_of_two([absent, finding], in_order=False) == 1
    assert finding_of_two([finding, absent], in_order=False) == 0
    assert finding_of_two([finding, absent], in_order=True) == 0


@pytest.mark.parametrize("names", [("cat", "dog"), ("covid", "pneumonia"), ("benign", "normal")])
def test_what_no_name_tells_is_not_guessed_by_the_alphabet(names: tuple[str, str]) -> None:
    assert finding_of_two(names, in_order=False) is None
    assert finding_of_two(names, in_order=True) == 1


@pytest.mark.parametrize(
    ("names", "absence"),
    [
        (("COVID", "NORMAL"), "NORMAL"), (("No Finding", "Mass", "Edema"), "No Finding"),
        (("nodule", "none"), "none"), (("nose", "throat", "ear"), None), (("bacteria", "virus"), None),
        (("normal", "healthy"), None), (("no_dr", "mild", "nonproliferative"), "no_dr"),
        (("bkl", "mel", "nv"), None), (("nevus", "melanoma"), "nevus"), (("uncertain", "mass", "cyst"), None),
    ],
)  # fmt: skip
def test_the_class_without_a_finding(names: tuple[str, ...], absence: str | None) -> None:
    assert absence_among(names) == (None if absence is None else names.index(absence))


def test_class_folders_say_which_class_is_meant(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_images(tmp_path, "covid/COVID/1.png", "covid/NORMAL/2.png")
    write_images(tmp_path, "pets/cat/1.png", "pets/dog/2.png", "plain/no/1.png", "plain/yes/2.png")
    with caplog.at_level(logging.WARNING):
        assert open_cases(tmp_path / "covid", group="none").findings == (0,)
    assert "the finding is 'COVID', not 'NORMAL'" in caplog.text
    caplog.clear()
    assert open_cases(tmp_path / "pets", group="none").findings == ()
    assert "nothing says which class is the finding, 'cat' or 'dog'" in caplog.text
    caplog.clear()
    assert open_cases(tmp_path / "pets", group="none", classes=("cat", "dog")).findings == (1,)
    assert open_cases(tmp_path / "pets", group="none", findings=("cat",)).findings == (0,)
    assert open_cases(tmp_path / "covid", group="none", findings=("none",)).findings == ()
    assert open_cases(tmp_path / "plain", group="none").findings == (1,)
    assert not caplog.text
