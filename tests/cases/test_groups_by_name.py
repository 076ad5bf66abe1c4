"""Groups as they are written: blanks, spelling, and groups that are single images."""

from __future__ import annotations

from pathlib import Path

import pytest

from robust.cases import open_cases
from tests.cases.tables import write_images


def table(root: Path, rows: list[tuple[str, str]]) -> Path:
    write_images(root, *(file for file, _ in rows))
    lines = [f'{file},{i % 2},"{group}"' for i, (file, group) in enumerate(rows)]
    (root / "cases.csv").write_text("file,label,group\n" + "\n".join(lines), encoding="utf-8")
    return root


def test_blanks_around_a_patient_make_no_other_patient(tmp_path: Path) -> None:
    names = ["P1", "P1 ", " P1", "Q\u00fc", "Qu\u0308"]
    cases = open_cases(table(tmp_path, [(f"{i}.png", name) for i, name in enumerate(names)]))
    assert len({entry.group for entry in cases.entries}) == 2
    assert cases.notes.groups_alike == 0


@pytest.mark.parametrize("other", ["p1", "P-1", "P01", "P 1"])
def test_patients_that_differ_in_spelling_alone_are_noted(tmp_path: Path, other: str) -> None:
    cases = open_cases(table(tmp_path, [("a.png", "P1"), ("b.png", other), ("c.png", "P2")]))
    assert len({entry.group for entry in cases.entries}) == 3
    assert cases.notes.groups_alike == 2


def test_groups_that_are_single_images_of_patients_in_file_names(tmp_path: Path) -> None:
    eyes = [f"{i}_{side}.png" for i in range(8) for side in ("left", "right")]
    cases = open_cases(table(tmp_path / "eyes", [(eye, f"g{i}") for i, eye in enumerate(eyes)]))
    assert cases.notes.finer_than_names == (8, 16)
    right = open_cases(table(tmp_path / "right", [(eye, eye.split("_")[0]) for eye in eyes]))
    assert right.notes.finer_than_names == (0, 0)
    plain = [(f"ISIC_{i:07}.png", f"L{i}") for i in range(16)]
    assert open_cases(table(tmp_path / "plain", plain)).notes.finer_than_names == (0, 0)
    ungrouped = open_cases(tmp_path / "eyes", group="none")
    assert ungrouped.notes.finer_than_names == (0, 0), "no groups is a doubt of its own"


def test_labels_are_read_without_blanks_around_them(tmp_path: Path) -> None:
    write_images(tmp_path, "1.png", "2.png", "3.png")
    (tmp_path / "cases.csv").write_text("file,label\n1.png,well\n2.png,ill\n3.png,ill \n")
    cases = open_cases(tmp_path, group="none")
    assert (cases.classes, [entry.label for entry in cases.entries]) == (("ill", "well"), [1, 0, 0])
