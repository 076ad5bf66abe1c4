"""Folders of classes: without those of systems, without empty ones, copies, and parts of a set."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from robust.cases import open_cases
from robust.errors import InputError
from tests.cases.tables import write_images


@pytest.mark.parametrize(
    "name", ["__MACOSX", "@eaDir", ".AppleDouble", "$RECYCLE.BIN", "lost+found", "@tmp"]
)
def test_folders_of_systems_are_no_classes_and_hold_no_cases(tmp_path: Path, name: str) -> None:
    write_images(tmp_path, "ill/1.png", "well/2.png", f"{name}/._1.png", f"well/{name}/3.png")
    write_images(tmp_path, f"{name}/ill/4.png")
    cases = open_cases(tmp_path, group="none", keep_names=True)
    assert [entry.id for entry in cases.entries] == ["ill/1.png", "well/2.png"]


def test_a_folder_without_images_is_no_class_unless_it_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_images(tmp_path, "ill/1.png", "well/2.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes" / "deep").mkdir(parents=True)
    (tmp_path / "notes" / "read.txt").write_text("text")
    with caplog.at_level(logging.WARNING):
        assert open_cases(tmp_path, group="none").classes == ("ill", "well")
    assert "no classes are the folders 'empty', 'notes'" in caplog.text
    named = ("empty", "ill", "well")
    assert open_cases(tmp_path, group="none", classes=named).classes == named


def test_a_copy_of_the_folders_inside_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_images(tmp_path, "ill/1.png", "well/2.png", "chest/ill/1.png", "chest/well/2.png")
    with caplog.at_level(logging.WARNING):
        cases = open_cases(tmp_path, group="none")
    assert (cases.classes, len(cases)) == (("ill", "well"), 2)
    assert "'chest'" in caplog.text


def test_a_folder_around_the_classes_is_named(tmp_path: Path) -> None:
    write_images(tmp_path, "chest/ill/1.png", "chest/well/2.png", "__MACOSX/chest/ill/._1.png")
    with pytest.raises(InputError, match=r"holds one folder with images, 'chest'.*name \S+/chest"):
        open_cases(tmp_path, group="none")
    assert open_cases(tmp_path / "chest", group="none").classes == ("ill", "well")
    assert open_cases(tmp_path, group="none", classes=("chest", "other")).classes[0] == "chest"


@pytest.mark.parametrize(
    "names",
    [
        ("images_001", "images_002", "images_010"),
        ("HAM10000_images_part_1", "HAM10000_images_part_2"),
        ("stage_2_test_images", "stage_2_train_images"),
        ("ISIC2018_Task3_Test_Input", "ISIC2018_Task3_Training_Input"),
        ("batch1", "batch2"),
    ],
)
def test_parts_of_a_set_are_no_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    write_images(tmp_path, *(f"{name}/{i}.png" for i, name in enumerate(names)))
    with pytest.raises(InputError, match=r"look like parts of one set.*table"):
        open_cases(tmp_path, group="none")
    assert open_cases(tmp_path, group="none", classes=names).classes == names


@pytest.mark.parametrize(
    "names",
    [("0", "1", "2"), ("grade1", "grade2"), ("class_0", "class_1"), ("stage I", "stage II")],
)
def test_numbered_classes_are_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    write_images(tmp_path, *(f"{name}/{i}.png" for i, name in enumerate(names)))
    assert open_cases(tmp_path, group="none").classes == names


def test_splits_are_known_by_their_usual_names(tmp_path: Path) -> None:
    write_images(tmp_path, *(f"{s}/{c}/1.png" for s in ("Training", "Testing") for c in "xy"))
    write_images(tmp_path, "valid/x/1.png", "valid/y/2.png")
    for split, found in (
        *(("test", "Testing"), ("train", "Training"), ("Testing", "Testing")),
        *(("val", "valid"), ("validation", "valid")),
    ):
        cases = open_cases(tmp_path, group="none", split=split)
        assert (len(cases), cases.split) == (2, found)
    write_images(tmp_path, "dev/x/1.png")
    with pytest.raises(InputError, match="dev and valid could each be the split"):
        open_cases(tmp_path, group="none", split="val")


def test_two_folders_that_differ_in_case_alone_are_refused(tmp_path: Path) -> None:
    write_images(tmp_path, "Normal/1.png", "normal/2.png", "ill/3.png")
    if len(list(tmp_path.iterdir())) < 3:
        pytest.skip("this disk knows no letter case")
    with pytest.raises(InputError, match="differ in letter case"):
        open_cases(tmp_path, group="none")


@pytest.mark.skipif(os.name != "posix", reason="names are Unicode on this system")
def test_a_folder_whose_name_is_no_utf8_is_a_class(tmp_path: Path) -> None:
    write_images(tmp_path, "ohne/1.png", "x/2.png")
    os.rename(tmp_path / "x", os.fsencode(tmp_path) + b"/Lungenentz\xfcndung")
    os.rename(tmp_path / "ohne" / "1.png", os.fsencode(tmp_path) + b"/ohne/\xe4.png")
    cases = open_cases(tmp_path, group="none", keep_names=True)
    assert cases.classes == (r"Lungenentz\xfcndung", "ohne")
    assert cases.entries[1].id == r"ohne/\xe4.png"
    assert cases[0].image.shape == (1, 4, 5)
    assert cases.fingerprint()


def test_class_names_are_found_in_either_unicode_form(tmp_path: Path) -> None:
    write_images(tmp_path, "gru\u0308n/1.png", "rot/2.png")
    for written in ("gr\u00fcn", "gru\u0308n"):
        classes = ("rot", written)
        cases = open_cases(tmp_path, group="none", classes=classes, findings=(written,))
        assert [entry.label for entry in cases.entries] == [0, 1]
        assert cases.findings == (1,)
