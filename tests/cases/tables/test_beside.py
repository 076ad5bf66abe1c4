"""A table beside folders of images: the folders become no classes without a word."""

from __future__ import annotations

from pathlib import Path

import pytest

from robust.cases import open_cases
from robust.errors import InputError
from tests.cases.tables import write_images


def test_a_table_that_names_the_images_is_named(tmp_path: Path) -> None:
    write_images(tmp_path, "part_1/a.png", "part_2/b.png")
    table = tmp_path / "HAM10000_metadata.csv"
    table.write_text("lesion_id,image_id,dx\nL1,a,nv\nL2,b,mel\n")
    said = r"HAM10000_metadata\.csv names its images \(column image_id\).*--table HAM.*table = \"none\""
    with pytest.raises(InputError, match=said):
        open_cases(tmp_path, group="none")
    with pytest.raises(InputError, match=said):
        open_cases(tmp_path, group_pattern="(.)")
    folders = open_cases(tmp_path, group="none", table="none")
    assert folders.classes == ("part_1", "part_2")
    named = open_cases(tmp_path, group="none", classes=("part_1", "part_2"))
    assert named.classes == folders.classes, "who names the classes knows that they are"
    dx = open_cases(tmp_path, table=table.name, file="image_id", label="dx", group="lesion_id")
    assert dx.classes == ("mel", "nv")


def test_a_table_of_something_else_is_no_label_table(tmp_path: Path) -> None:
    write_images(tmp_path, "well/a.png", "ill/b.png")
    (tmp_path / "notes.csv").write_text("who,when\nme,today\n")
    (tmp_path / "broken.csv").write_bytes(b"\xff\xfe\0")
    (tmp_path / "well" / "labels.csv").write_text("file,label\na.png,1\n")
    assert open_cases(tmp_path, group="none").classes == ("ill", "well")


def test_options_of_a_table_ask_for_one(tmp_path: Path) -> None:
    write_images(tmp_path, "well/a.png", "ill/b.png")
    with pytest.raises(InputError, match=r"label = 'x' needs a table of labels.*has no cases\.csv"):
        open_cases(tmp_path, label="x")
    (tmp_path / "train.csv").write_text("id_code,diagnosis\nx,0\n")
    with pytest.raises(
        InputError, match=r"cases\.csv; or name the table of labels: --table train\.csv"
    ):
        open_cases(tmp_path, label="diagnosis")
    with pytest.raises(InputError, match=r"neither cases\.csv nor subfolders.*--table labels\.tsv"):
        (tmp_path / "empty").mkdir()
        (tmp_path / "empty" / "labels.tsv").write_text("a\tb\n1\t2\n")
        open_cases(tmp_path / "empty", group="none")
