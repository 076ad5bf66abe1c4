"""A folder of class folders."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from robust.cases import open_cases
from robust.errors import InputError
from tests.cases.tables import labels, write_images


def test_class_folders(tmp_path: Path) -> None:
    write_images(tmp_path, "b_sick/p1_0.png", "b_sick/sub/p2_0.PNG", "a_well/p1_1.png")
    (tmp_path / "a_well" / "notes.txt").write_text("no image")
    (tmp_path / ".git").mkdir()
    cases = open_cases(tmp_path, group_pattern=r"(p\d)_", keep_names=True)
    assert (cases.classes, labels(cases)) == (("a_well", "b_sick"), [0, 1, 1])
    assert [c.id for c in cases] == ["a_well/p1_1.png", "b_sick/p1_0.png", "b_sick/sub/p2_0.PNG"]
    assert [c.group for c in cases] == ["p1", "p1", "p2"]
    assert (cases.split, cases.findings, cases.grouped) == ("all", (1,), True)
    turned = open_cases(tmp_path, group="none", classes=("b_sick", "a_well"))
    assert (turned.classes, labels(turned)) == (("b_sick", "a_well"), [0, 0, 1])
    assert not turned.grouped


def test_class_folders_below_splits(tmp_path: Path) -> None:
    write_images(tmp_path, "train/x/1.png", "train/y/2.png", "test/x/3.png", "test/y/4.jpg")
    cases = open_cases(tmp_path, group="none", keep_names=True)
    assert [c.id for c in cases] == ["test/x/3.png", "test/y/4.jpg"]
    assert cases.split == "test"
    assert len(open_cases(tmp_path, group="none", split="train")) == 2
    with pytest.raises(InputError, match=r"no split folder 'val'; .*train, test"):
        open_cases(tmp_path, group="none", split="val")
    with pytest.raises(InputError, match=r"divided into train, test"):
        open_cases(tmp_path, group="none", split="all")


def test_class_folders_tell_no_names(tmp_path: Path) -> None:
    write_images(tmp_path, "x/Jane_Doe-1.png", "x/Jane_Doe-2.png", "y/John-1.png")
    cases = open_cases(tmp_path, group_pattern=r"(\w+)-")
    assert not re.search("Jane|John|png", str([(c.id, c.group) for c in cases]))
    assert [c.group == cases[0].group for c in cases] == [True, True, False]


def test_class_folders_need_groups_that_fit(tmp_path: Path) -> None:
    write_images(tmp_path, "x/1.png", "y/2.png")
    for options, said in (
        ({}, "does not name patients"),
        ({"group": "patient"}, "names a column"),
        ({"group_pattern": "("}, "is not a regular expression"),
        ({"group_pattern": r"z(\d)"}, "finds no group in"),
        ({"group_pattern": r"\d"}, "it has no bracket around the patient"),
        ({"group": "none", "classes": ("x", "z")}, "folder 'y' is not among the classes"),
    ):
        with pytest.raises(InputError, match=said):
            open_cases(tmp_path, **options)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"neither cases\.csv nor subfolders"):
        open_cases(tmp_path, group="none")
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.txt").write_bytes(b"text")
    with pytest.raises(InputError, match=r"no images under .*looked for PNG, JPEG"):
        open_cases(tmp_path, group="none")


def test_the_folder_is_called_by_its_name_from_within(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write_images(tmp_path / "cohort", "x/1.png", "y/2.png"))
    assert open_cases(".", group="none").source == "a folder of images"


def test_class_folders_are_divided_by_shares_of_the_patients(tmp_path: Path) -> None:
    files = [
        f"{kind}/p{i}_{k}.png" for kind in ("ill", "well") for i in range(10) for k in range(2)
    ]
    write_images(tmp_path, *files)
    shares = {"train": 0.8, "test": 0.2}
    options = {"splits": shares, "group_pattern": r"(\w+/p\d)_"}
    test, train = (open_cases(tmp_path, split=s, **options) for s in ("test", "train"))
    assert (len(test), len(train)) == (8, 32)
    assert sorted(labels(test)) == [0] * 4 + [1] * 4
    assert not {e.group for e in test.entries} & {e.group for e in train.entries}
    assert "splits drawn by group with seed 0" in test.source and test.split == "test"
    assert len(open_cases(tmp_path, split="all", **options)) == 40
    for more, said in (
        ({"splits": "path"}, "class folders take shares"),
        ({"splits": {"test": "list.txt"}}, "are shares of the patients"),
        ({"split": "val"}, "no rows of split 'val'"),
    ):
        with pytest.raises(InputError, match=said):
            open_cases(tmp_path, **{**options, **more})
    write_images(tmp_path, "test/ill/p0_0.png")
    with pytest.raises(InputError, match="is divided into test; leave out splits"):
        open_cases(tmp_path, **options)
