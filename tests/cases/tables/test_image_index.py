"""Which image a cell names: by path, by name below the folder, by stem; two are an error."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import pytest

from robust.cases import Cases, open_cases
from robust.errors import InputError
from tests.cases.tables import write_images


def opened(root: Path, *cells: str, header: str = "file,label", **options: Any) -> Cases:
    """Cases with the names of the files that were found as ids."""
    lines = [header, *(f"{cell},{i % 2}" for i, cell in enumerate(cells))]
    (root / "cases.csv").write_text("\n".join(lines), encoding="utf-8")
    return open_cases(root, **{"group": "none", "keep_names": True, **options})


def found(root: Path, *cells: str, **options: Any) -> list[str]:
    return [entry.id for entry in opened(root, *cells, **options).entries]


def test_names_and_stems_are_found_below_the_folder(tmp_path: Path) -> None:
    write_images(
        tmp_path, "images_001/images/a_1.png", "images_002/images/b_2.JPG", "1.2.840.7.bmp"
    )
    everything = ["images_001/images/a_1.png", "images_002/images/b_2.JPG", "1.2.840.7.bmp"]
    assert found(tmp_path, "a_1.png", "b_2.jpg", "1.2.840.7") == everything
    assert found(tmp_path, "a_1", "b_2", "1.2.840.7.bmp") == everything
    assert found(tmp_path, "images/a_1.PNG", "images_002/images/b_2") == everything[:2]
    assert found(tmp_path, r"images\a_1.png", "./images_002/images/b_2.JPG") == everything[:2]
    assert found(tmp_path, "/old/disk/images_001/images/a_1.png", "b_2.png") == everything[:2]


def test_folders_in_a_cell_must_be_those_of_the_image(tmp_path: Path) -> None:
    write_images(tmp_path, "train/a.png", "test/a.png", "test/b.png")
    assert found(tmp_path, "set/train/a.png", "set/test/a") == ["train/a.png", "test/a.png"]
    missing = opened(tmp_path, "train/a.png", "train/b.png")
    with pytest.raises(InputError, match=r"no such image: .*train/b\.png"):
        missing[1].image  # noqa: B018


def test_a_name_of_two_images_is_an_error_that_names_both(tmp_path: Path) -> None:
    write_images(tmp_path, "one/a.png", "two/a.png", "three/b.png", "three/b.jpg")
    with pytest.raises(InputError, match=r"a\.png could be one/a\.png or two/a\.png"):
        found(tmp_path, "a.png")
    with pytest.raises(InputError, match=r"b could be three/b\.jpg or three/b\.png.*template"):
        found(tmp_path, "b")
    assert found(tmp_path, "b", file="{file}.png") == ["three/b.png"]


def test_two_cells_of_one_image_are_an_error(tmp_path: Path) -> None:
    """The images of two folders that lie in one here would be taken for one."""
    write_images(tmp_path, "a.png", "b.png")
    with pytest.raises(InputError, match=r"train/a\.png and test/a\.png are both the image"):
        found(tmp_path, "train/a.png", "test/a.png")
    assert found(tmp_path, "a.png", "b", "./a.png") == ["a.png", "b.png"], "one path, written twice"


def test_composed_and_decomposed_characters_are_the_same(tmp_path: Path) -> None:
    names = [f"Thorax Übergröße {i}.png" for i in range(2)]
    write_images(tmp_path, *(unicodedata.normalize("NFD", name) for name in names))
    assert len(found(tmp_path, *names)) == 2
    cell = unicodedata.normalize("NFC", "Thorax Übergröße 1")
    assert unicodedata.normalize("NFC", found(tmp_path, cell)[0]) == f"{cell}.png"


def test_copies_that_systems_make_are_no_images(tmp_path: Path) -> None:
    write_images(
        tmp_path, "x/a.png", "__MACOSX/x/a.png", "@eaDir/a.png", ".cache/a.png", "x/._a.png"
    )
    assert found(tmp_path, "a") == ["x/a.png"]


def test_templates_and_columns(tmp_path: Path) -> None:
    write_images(tmp_path, "0/p1.png", "0/p2.png", "1/p1.png")
    options: dict[str, Any] = {"header": "dir,id,label", "file": "{dir}/{id}.png"}
    assert found(tmp_path, "0,p1", "1,p1", **options) == ["0/p1.png", "1/p1.png"]
    assert found(tmp_path, "0/p2", "1/p1", header="Image Index,label", file="Image Index") == [
        "0/p2.png",
        "1/p1.png",
    ]
    assert found(tmp_path, "0/p2", "1/p1", header="image,label") == ["0/p2.png", "1/p1.png"]
    with pytest.raises(InputError, match="a row names no file"):
        found(tmp_path, "0,p1", ",p1", **options)
    for file, said in (
        ("{dir}/{idd}", "no file column 'idd'; did you mean id"),
        ("dirr", "no file column 'dirr'; did you mean dir"),
        (None, "p1 could be 0/p1.png or 1/p1.png; .*template"),
    ):
        with pytest.raises(InputError, match=said):
            found(tmp_path, "0,p1", "1,p1", **{**options, "file": file})


def test_several_images_a_row(tmp_path: Path) -> None:
    write_images(tmp_path, "1_left.png", "1_right.png", "2_left.png")
    (tmp_path / "cases.csv").write_text(
        "id,left,right,says left,says right\n1,1_left,1_right,0,1\n2,2_left,,1,\n"
    )
    both: dict[str, Any] = {"file": ("left", "right"), "group": "id", "keep_names": True}
    cases = open_cases(tmp_path, **both, label=("says left", "says right"))
    assert [(e.id, e.label, e.group) for e in cases.entries] == [
        ("1_left.png", 0, "1"),
        ("1_right.png", 1, "1"),
        ("2_left.png", 1, "2"),
    ]
    one = open_cases(tmp_path, **{**both, "file": "left,right"}, label="says left")
    assert [e.label for e in one.entries] == [0, 0, 1], "the label of the row"
    with pytest.raises(InputError, match="several name images: left, right"):
        open_cases(tmp_path, group="id", label="says left")


def test_images_that_are_not_there_are_counted(tmp_path: Path) -> None:
    write_images(tmp_path, "a.png")
    cases = opened(tmp_path, "a.png", "b.png", "c.png")
    assert len(cases) == 3 and cases[0].image.shape == (1, 4, 5)
    with pytest.raises(InputError, match=r"no such image: .*b\.png.*\(2 of 3 images are missing\)"):
        cases[1].image  # noqa: B018
    with pytest.raises(InputError, match=r"none of its 2 images lies in .*b\.png first"):
        opened(tmp_path, "b.png", "c.png")


def test_the_patient_in_the_path_beside_a_table(tmp_path: Path) -> None:
    write_images(tmp_path, *(f"patient{i // 2}/study{i % 2}/view.png" for i in range(4)))
    cells = [f"patient{i // 2}/study{i % 2}/view.png" for i in range(4)]
    cases = opened(tmp_path, *cells, group=None, group_pattern=r"(patient\d+)/")
    assert [e.group for e in cases.entries] == ["patient0", "patient0", "patient1", "patient1"]
    for options, said in (
        ({"group_pattern": r"(patient0)"}, "finds no group in 'patient1/"),
        ({"group_pattern": "("}, "is not a regular expression"),
        ({"group_pattern": "(p)", "group": "label"}, "either group or group_pattern"),
        ({}, r'no group column .group.; .*group_pattern.*group = "none"'),
    ):
        with pytest.raises(InputError, match=said):
            opened(tmp_path, *cells, **{"group": None, **options})
