"""Folders and tables of other people: what each column is, what is guessed, and what is asked."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from robust.cases import open_cases
from robust.drafting.data import find_pattern
from robust.drafting.plan import Drafted, DraftRequest, draft_plan, recognise
from robust.drafting.recipe import draft_recipe
from robust.errors import InputError
from robust.plan.load import make_plan
from robust.training.recipe import make_recipe
from tests.drafting import sets


def table(
    folder: Path, name: str, header: str, rows: Sequence[Sequence[object]], images: str = "{}.png"
) -> Path:
    """A table whose first column names images, which are drawn."""
    folder.mkdir(exist_ok=True)
    with (folder / name).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([header.split(","), *rows])
    for seed, first in enumerate(dict.fromkeys(str(row[0]) for row in rows)):
        sets.write(folder / "images" / images.format(first), seed)
    return folder


def drafted(path: Path, **more: Any) -> Drafted:
    return draft_plan(DraftRequest(path, **more))


def data_of(found: Drafted) -> dict[str, Any]:
    return found.draft.tables()["data"]


def questions(found: Drafted) -> list[str]:
    return [
        question.place for question in found.draft.questions if question.place != "model.folder"
    ]


def test_classes_patients_and_splits(tmp_path: Path) -> None:
    rows = [
        (
            f"i{n}",
            f"P{n // 2}",
            40 + n,
            "FM"[n % 2],
            ("normal", "tumour")[n // 4 % 2],
            ("train", "test")[n // 8],
        )
        for n in range(16)
    ]
    root = table(tmp_path / "set", "labels.csv", "id,patient,age,sex,diagnosis,split", rows)
    found = drafted(root)
    data = data_of(found)
    assert data == {
        "path": root.as_posix(), "table": ["labels.csv"], "file": "id", "label": "diagnosis",
        "classes": ["normal", "tumour"], "findings": ["tumour"], "group": "patient",
        "splits": "split", "split": "test",
    }  # fmt: skip
    assert questions(found) == []
    assert found.draft.values["data.group"].guess and not found.draft.values["data.file"].guess
    cases = open_cases(**{**data, "findings": tuple(data["findings"])})
    assert len(cases) == 8 and len({entry.group for entry in cases.entries}) == 4


def test_a_table_in_our_own_form(tmp_path: Path) -> None:
    """Its `group` is the patient; the numbers beside the names are the order of the classes."""
    rows = [(f"i{n}", n % 2, ("sick", "fine")[n % 2], f"g{n // 2}") for n in range(8)]
    data = data_of(
        drafted(table(tmp_path / "set", "cases.csv", "file,label,label_name,group", rows))
    )
    assert data["group"] == "group"
    assert (data["label"], data["classes"]) == ("label_name", ["sick", "fine"])
    assert data["findings"] == ["sick"]


def test_which_of_several_findings_is_asked(tmp_path: Path) -> None:
    rows = [(f"i{n}", n % 2, (1, 0, -1, "")[n % 4], 1 - n % 2) for n in range(8)]
    root = table(tmp_path / "set", "t.csv", "name,Edema,Mass,Fracture", rows)
    asked = drafted(root)
    assert questions(asked) == ["data.label"] and asked.cases is None
    assert asked.draft.questions[0].choices == ("Edema", "Mass", "Fracture")
    data = data_of(drafted(root, finding="Mass"))
    assert (data["label"], data["uncertain"], data["blank"]) == ("Mass", "exclude", "exclude")


def test_one_hot_lists_and_readers(tmp_path: Path) -> None:
    rows = [(f"i{n}", *(float(n % 3 == k) for k in range(3))) for n in range(9)]
    one_hot = data_of(drafted(table(tmp_path / "a", "t.csv", "image,MEL,NV,BCC", rows)))
    assert one_hot["label"] == ["MEL", "NV", "BCC"]
    lists = [(f"i{n}", ("['normal']", "['mass', 'nodule']")[n % 2]) for n in range(6)]
    asked = drafted(table(tmp_path / "b", "t.csv", "image,Labels", lists))
    assert data_of(asked)["separator"] == "list" and questions(asked) == ["data.positive"]
    votes = [(f"i{n // 3}", ("none", "mass")[n % 2], f"R{n % 3}") for n in range(12)]
    readers = drafted(
        table(tmp_path / "c", "t.csv", "image,class_name,rad_id", votes), finding="mass"
    )
    assert {k: data_of(readers)[k] for k in ("positive", "reader", "vote")} == {
        "positive": ["mass"], "reader": "rad_id", "vote": "majority",
    }  # fmt: skip
    assert readers.cases is not None and len(readers.cases) == 4


def test_several_images_a_row(tmp_path: Path) -> None:
    root = tmp_path / "eyes"
    rows = [(f"{n}_left.png", f"{n}_right.png", n, 50, n % 2) for n in range(6)]
    for row in rows:
        for place in (0, 1):
            sets.write(root / str(row[place]), 2 * int(row[2]) + place, colour=True)
    with (root / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("Left", "Right", "ID", "Patient Age", "diagnosis"), *rows])
    data = data_of(drafted(root))
    assert (data["file"], data["group"], data["label"]) == (["Left", "Right"], "ID", "diagnosis")


def test_class_folders(tmp_path: Path) -> None:
    for n in range(8):
        name = f"{('COVID', 'NORMAL')[n % 2]}/patient{n // 4}{n % 2}_{n}.png"
        sets.write(tmp_path / "export" / "data" / "val" / name, n)
        sets.write(
            tmp_path / "export" / "data" / "train" / name.replace("patient", "patient9"), 100 + n
        )
    found = drafted(tmp_path / "export")
    data = data_of(found)
    assert data["path"].endswith("export/data") and data["split"] == "val"
    assert (data["classes"], data["findings"]) == (["COVID", "NORMAL"], ["COVID"])
    assert data["group_pattern"] and found.cases is not None
    assert len({entry.group for entry in found.cases.entries}) == 4


def test_which_class_is_the_finding_is_asked(tmp_path: Path) -> None:
    for n in range(4):
        sets.write(tmp_path / "set" / ("bacteria", "virus")[n % 2] / f"{n}.png", n)
    found = drafted(tmp_path / "set")
    assert questions(found) == ["data.findings"] and data_of(found)["group"] == "none"
    given = drafted(tmp_path / "set", finding="virus")
    assert questions(given) == [] and data_of(given)["findings"] == ["virus"]


def test_grey_in_colour_files_and_twelve_bits(tmp_path: Path) -> None:
    from PIL import Image

    for n in range(4):
        path = tmp_path / "a" / ("no", "yes")[n % 2] / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(sets.pixels(n, False)).convert("RGB").save(path)
        sets.write(tmp_path / "b" / ("no", "yes")[n % 2] / f"{n}.png", n, deep=True)
    assert data_of(drafted(tmp_path / "a"))["grey"] is True
    deep = drafted(tmp_path / "b")
    assert data_of(deep)["depth"] == 12 and "depth = 12" in deep.draft.text()
    assert deep.cases is not None and float(deep.cases[0].image.max()) > 0.5
    known = drafted(tmp_path / "b", changes={"data.depth": 16})
    assert data_of(known)["depth"] == 16


def test_a_table_elsewhere(tmp_path: Path) -> None:
    root = table(tmp_path / "set", "t.csv", "image,label", [(f"i{n}", n % 2) for n in range(4)])
    moved = (root / "t.csv").rename(tmp_path / "t.csv")
    with pytest.raises(InputError, match="--images FOLDER"):
        drafted(_alone(moved))
    found = drafted(moved, images=root)
    assert found.cases is not None and len(found.cases) == 4


def _alone(path: Path) -> Path:
    folder = path.parent / "alone"
    folder.mkdir()
    (folder / path.name).write_bytes(path.read_bytes())
    return folder / path.name


def test_training_divides_what_nothing_divides(tmp_path: Path) -> None:
    rows = [(f"i{n}", f"P{n}", n % 2) for n in range(20)]
    root = table(tmp_path / "set", "t.csv", "image,patient,label", rows)
    assert data_of(drafted(root))["split"] == "all"
    data = data_of(drafted(root, train=True))
    assert data["splits"] == {"train": 0.7, "val": 0.1, "test": 0.2} and data["split"] == "test"


def test_undivided_folders_cannot_train(tmp_path: Path) -> None:
    for n in range(4):
        sets.write(tmp_path / "set" / ("no", "yes")[n % 2] / f"{n}.png", n)
    with pytest.raises(InputError, match="nothing says what to learn from"):
        drafted(tmp_path / "set", train=True)


def test_a_recipe_without_a_val_folder(tmp_path: Path) -> None:
    for n in range(8):
        split = ("train", "test")[n // 4]
        sets.write(tmp_path / "set" / split / ("no", "yes")[n % 2] / f"{n}.png", n)
    recipe = draft_recipe(drafted(tmp_path / "set", train=True))
    assert recipe.get("splits.val") == 0.15 and not recipe.has("splits.test")
    make_recipe(recipe.tables())


def test_plans_load_also_with_lines_to_fill_in(tmp_path: Path) -> None:
    import tomllib

    for n in range(4):
        sets.write(tmp_path / "set" / ("bacteria", "virus")[n % 2] / f"{n}.png", n)
    found = drafted(tmp_path / "set")
    assert found.draft.questions
    make_plan(tomllib.loads(found.draft.text()))


def test_patients_in_names() -> None:
    assert find_pattern([f"a/{n // 2}_{side}.jpg" for n in range(6) for side in ("left", "right")])
    assert find_pattern([f"sub-{n // 2:02}_{n}.png" for n in range(6)])
    assert find_pattern([f"image{n}.png" for n in range(6)]) is None


def test_public_tables_are_recognised(data: Path, tmp_path: Path) -> None:
    for layout in ("nih-cxr14", "chexpert", "vindr", "ham10000", "isic2019", "aptos", "brset"):
        sets.SETS[layout](data / "label_files", tmp_path / layout)
        found = recognise(tmp_path / layout)
        assert found is not None and found.key == layout
    other = table(tmp_path / "other", "train.csv", "image,label", [("a", 0), ("b", 1)])
    assert recognise(other) is None


@pytest.mark.parametrize("what", ["empty", "text", "images"])
def test_nothing_to_audit(what: str, tmp_path: Path) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    if what == "text":
        (folder / "a.txt").write_text("a")
    if what == "images":
        sets.write(folder / "a.png", 0)
    said = {
        "empty": "is empty",
        "text": "no image that robust reads",
        "images": "labels are needed",
    }
    with pytest.raises(InputError, match=said[what]):
        drafted(folder)


def test_masks_are_outlines_and_no_second_image(tmp_path: Path) -> None:
    rows = [(f"i{n}", f"m{n}", f"P{n // 2}", ("train", "test")[n // 4]) for n in range(8)]
    root = table(tmp_path / "set", "cases.csv", "file,mask,group,split", rows)
    for n in range(8):
        values = np.zeros((9, 7), np.uint8)
        values[:n] = 255
        Image.fromarray(values).save(root / "images" / f"m{n}.png")
    found = drafted(root)
    data = data_of(found)
    assert (data["file"], data["mask"], data["group"]) == ("file", "mask", "group")
    assert "label" not in data and questions(found) == []
    assert found.draft.values["data.mask"].guess
    assert found.cases is not None and found.cases.outlines == "exclusive"
    assert found.images is not None and not found.problem
    named = drafted(root, changes={"data.label": "split"})
    assert "mask" not in data_of(named)
