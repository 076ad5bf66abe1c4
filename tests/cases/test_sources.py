"""Where cases come from: manifests, class folders, MedMNIST, phantoms; and what may leave them."""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from robust.cases import Cases, open_cases
from robust.cases.case import Entry
from robust.errors import InputError

TABLE = """\
file,label,label_name,group,split,site,age,sex,source
a/Jane_Doe_1.png,0,normal,Jane Doe,test,north,31,f,hospital
a/Jane_Doe_2.png,1,effusion,Jane Doe,test,north,31,f,hospital
b/scan3.png,2,tumour,pat-7,test,south,,m,hospital
b/scan4.png,0,normal,pat-8,train,south,64,m,clinic
b/scan5.png,1,effusion,pat-9,val,south,50,,clinic
"""


def write_images(root: Path, *names: str) -> Path:
    """Small grey images, each of one level: its place among the names."""
    for level, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (5, 4), level).save(root / name)
    return root


def write_table(root: Path, text: str = TABLE) -> Path:
    files = [line.split(",")[0] for line in text.splitlines()[1:]]
    write_images(root, *(name for name in files if name))
    (root / "cases.csv").write_text(text, encoding="utf-8")
    return root


def labels(cases: Cases) -> list[int]:
    return [entry.label for entry in cases.entries]


# --- cases.csv ---


def test_a_manifest_gives_its_test_split_with_names_and_groups(tmp_path: Path) -> None:
    cases = open_cases(write_table(tmp_path), keep_names=True)
    assert cases.classes == ("normal", "effusion", "tumour")
    assert labels(cases) == [0, 1, 2]
    assert [case.id for case in cases] == ["a/Jane_Doe_1.png", "a/Jane_Doe_2.png", "b/scan3.png"]
    assert [case.group for case in cases] == ["Jane Doe", "Jane Doe", "pat-7"]
    assert [round(float(case.image[0, 0, 0]) * 255) for case in cases] == [0, 1, 2]
    assert all(case.image.shape == (1, 4, 5) for case in cases)
    assert (cases.split, cases.grouped, cases.findings) == ("test", True, ())


def test_splits(tmp_path: Path) -> None:
    write_table(tmp_path)
    assert labels(open_cases(tmp_path, split="train")) == [0]
    assert labels(open_cases(tmp_path, split="val")) == [1]
    assert labels(open_cases(tmp_path, split="all")) == [0, 1, 2, 0, 1]
    with pytest.raises(InputError, match=r"no rows of split 'tset'; did you mean test"):
        open_cases(tmp_path, split="tset")
    without = "\n".join(",".join(line.split(",")[:4]) for line in TABLE.splitlines())
    cases = open_cases(write_table(tmp_path / "plain", without))
    assert (len(cases), cases.split) == (5, "all")


def test_classes_are_those_of_every_split(tmp_path: Path) -> None:
    """The head was trained on all of them, whether the test split shows them or not."""
    write_table(tmp_path)
    assert open_cases(tmp_path, split="train").classes == ("normal", "effusion", "tumour")
    assert open_cases(tmp_path, split="val", label="site").classes == ("north", "south")


def test_labels_in_words_are_sorted_or_as_told(tmp_path: Path) -> None:
    write_table(tmp_path)
    cases = open_cases(tmp_path, label="site", split="all")
    assert (cases.classes, labels(cases)) == (("north", "south"), [0, 0, 1, 1, 1])
    turned = open_cases(tmp_path, label="site", split="all", classes=("south", "north"))
    assert (turned.classes, labels(turned)) == (("south", "north"), [1, 1, 0, 0, 0])
    with pytest.raises(InputError, match=r"site 'south' is not among the classes"):
        open_cases(tmp_path, label="site", classes=("north", "sooth"))


def test_integer_labels_without_names_are_called_by_number(tmp_path: Path) -> None:
    text = "file,grade,group\na.png,0,1\nb.png,3,2\n"
    cases = open_cases(write_table(tmp_path, text), label="grade")
    assert (cases.classes, labels(cases)) == (("0", "1", "2", "3"), [0, 3])
    named = open_cases(tmp_path, label="grade", classes=("w", "x", "y", "z"))
    assert named.classes == ("w", "x", "y", "z")
    with pytest.raises(InputError, match=r"grade 3 is out of range for the 2 classes w, x"):
        open_cases(tmp_path, label="grade", classes=("w", "x"))


@pytest.mark.parametrize("wrong", ["-1", "1.5", "inf", "20191231"])
def test_a_label_that_counts_no_class_is_named(tmp_path: Path, wrong: str) -> None:
    text = f"file,label,group\na.png,0,1\nb.png,{wrong},2\n"
    with pytest.raises(InputError, match=rf"label {re.escape(wrong)}(\.0)? is out of range"):
        open_cases(write_table(tmp_path, text))


def test_true_and_false_are_one_and_zero(tmp_path: Path) -> None:
    text = "file,label,group\na.png,True,1\nb.png,False,2\n"
    assert labels(open_cases(write_table(tmp_path, text))) == [1, 0]


def test_one_label_under_two_names_is_refused(tmp_path: Path) -> None:
    text = "file,label,label_name,group\na.png,1,mild,1\nb.png,1,severe,2\nc.png,0,none,3\n"
    with pytest.raises(InputError, match=r"label 1 is called 'mild' and 'severe'"):
        open_cases(write_table(tmp_path, text))
    assert open_cases(tmp_path, classes=("none", "some")).classes == ("none", "some")


def test_two_classes_of_one_name_are_refused(tmp_path: Path) -> None:
    text = "file,label,label_name,group\na.png,0,same,1\nb.png,1,same,2\n"
    with pytest.raises(InputError, match=r"two classes are called 'same'"):
        open_cases(write_table(tmp_path, text))


def test_findings(tmp_path: Path) -> None:
    write_table(tmp_path)
    assert open_cases(tmp_path, findings=("tumour", "effusion")).findings == (1, 2)
    assert open_cases(tmp_path, label="site").findings == (1,), "of two the second"
    with pytest.raises(InputError, match=r"finding 'tumor' is not a class; did you mean tumour"):
        open_cases(tmp_path, findings=("tumor",))
    with pytest.raises(InputError, match="every class is named as a finding"):
        open_cases(tmp_path, findings=("normal", "effusion", "tumour"))


def test_a_filter_chooses_rows_and_with_them_classes(tmp_path: Path) -> None:
    write_table(tmp_path)
    cases = open_cases(tmp_path, split="all", where='source == "hospital" and age > 30')
    assert labels(cases) == [0, 1]
    assert cases.classes == ("normal", "effusion")
    assert "hospital" in cases.source
    for wrong, said in (
        ("agee > 3", r"name 'agee' is not defined"),
        ("age > 300", "matches no row"),
        ("age = 3", "does not work"),
        ("__import__('os').getcwd()", "does not work"),
        ("@TABLE", "does not work"),
    ):
        with pytest.raises(InputError, match=said):
            open_cases(tmp_path, where=wrong)


def test_groups_from_another_column_or_none(tmp_path: Path) -> None:
    write_table(tmp_path)
    assert len({c.group for c in open_cases(tmp_path, group="site")}) == 2
    single = open_cases(tmp_path, group="none")
    assert not single.grouped
    assert len({case.group for case in single}) == 3
    with pytest.raises(InputError, match=r"no group column 'patient'.*group = \"none\""):
        open_cases(tmp_path, group="patient")


def test_a_row_that_lacks_what_it_needs_is_refused(tmp_path: Path) -> None:
    lines = TABLE.splitlines()
    for place, said in ((0, "a row names no file"), (1, "has no label"), (3, "has no group")):
        cells = lines[3].split(",")
        cells[place] = ""
        broken = "\n".join([*lines[:3], ",".join(cells), *lines[4:]])
        with pytest.raises(InputError, match=said):
            open_cases(write_table(tmp_path / str(place), broken))


@pytest.mark.parametrize("again", ["a.png", "./a.png"])
def test_an_image_in_two_rows_is_refused(tmp_path: Path, again: str) -> None:
    write_table(tmp_path, f"file,label,group\na.png,0,1\n{again},1,2\n")
    with pytest.raises(InputError, match=r"names .*a\.png twice"):
        open_cases(tmp_path)


def test_subgroups_keep_values_quartiles_and_the_unknown(tmp_path: Path) -> None:
    lines = ["file,label,group,sex,age,score"]
    for i in range(40):
        sex = ["f", "m", ""][i % 3]
        lines.append(f"{i}.png,{i % 2},{i},{sex},{i % 4}.0,{'' if i == 39 else i}")
    write_table(tmp_path, "\n".join(lines))
    cases = open_cases(tmp_path, subgroups=("sex", "age", "score"))
    assert [e.metadata["sex"] for e in cases.entries[:3]] == ["f", "m", "unknown"]
    assert {e.metadata["age"] for e in cases.entries} == {"0", "1", "2", "3"}, "few: as they are"
    counts = Counter(e.metadata["score"] for e in cases.entries)
    # Quartiles of 0..38 are 9.5, 19 and 28.5.
    assert counts == {
        "to 9.5": 10,
        "over 9.5 to 19": 10,
        "over 19 to 28.5": 9,
        "over 28.5": 10,
        "unknown": 1,
    }
    assert cases.entries[19].metadata["score"] == "over 9.5 to 19"
    assert cases.entries[20].metadata["score"] == "over 19 to 28.5"


def test_quartiles_of_large_numbers_stay_apart(tmp_path: Path) -> None:
    rows = "".join(f"{i}.png,{i % 2},{i},{20190101 + i}\n" for i in range(20))
    cases = open_cases(write_table(tmp_path, "file,label,group,date\n" + rows), subgroups=("date",))
    assert len({e.metadata["date"] for e in cases.entries}) == 4


def test_a_subgroup_of_too_many_values_is_refused(tmp_path: Path) -> None:
    rows = "".join(f"{i}.png,{i % 2},{i},name {i}\n" for i in range(51))
    write_table(tmp_path, "file,label,group,name\n" + rows)
    with pytest.raises(InputError, match="name has 51 values, too many for subgroups"):
        open_cases(tmp_path, subgroups=("name",))


def test_no_name_leaves_the_reader(tmp_path: Path) -> None:
    """Ids and groups are pseudonyms; nothing of a file name or a patient is in them."""
    cases = open_cases(write_table(tmp_path), split="all", subgroups=("site",))
    secrets = re.compile(r"jane|doe|pat-|scan|png", re.IGNORECASE)
    told = [cases.source, *cases.classes]
    for case in cases:
        assert re.fullmatch("[0-9a-f]{12}", case.id) and re.fullmatch("[0-9a-f]{12}", case.group)
        assert set(case.metadata) == {"site"}
        told += [case.id, case.group, *case.metadata.values()]
    assert not secrets.search(json.dumps(told))
    assert cases[0].group == cases[1].group != cases[2].group
    assert len({case.id for case in cases}) == 5
    again = open_cases(tmp_path, split="all", subgroups=("site",))
    assert [asdict(e) for e in again.entries] == [asdict(e) for e in cases.entries]


def test_a_limit_spreads_evenly(tmp_path: Path) -> None:
    rows = "".join(f"{i}.png,{i // 10},{i},test\n" for i in range(30))
    write_table(tmp_path, "file,label,group,split\n" + rows)
    cases = open_cases(tmp_path, limit=6)
    assert Counter(labels(cases)) == {0: 2, 1: 2, 2: 2}
    assert len(open_cases(tmp_path, limit=500)) == 30
    assert len({case.id for case in open_cases(tmp_path, limit=29)}) == 29
    with pytest.raises(InputError, match="limit 0 selects no case"):
        open_cases(tmp_path, limit=0)


def test_a_manifest_that_is_no_table_is_refused(tmp_path: Path) -> None:
    for name, content, said in (
        ("empty", b"", "cannot be read as a table"),
        ("header", b"file,label,group\n", "has no rows"),
        ("garbage", bytes(range(128, 256)) * 9, "UTF-8"),
        ("latin", "file,label,group\na.png,0,Jürgen\n".encode("cp1252"), "UTF-8"),
        ("ragged", b"file,label,group\na.png,0,1\nb.png,0,1,2,3\n", "cannot be read as a table"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cases.csv").write_bytes(content)
        with pytest.raises(InputError, match=said):
            open_cases(tmp_path / name)


def test_a_missing_column_is_named_with_its_neighbour(tmp_path: Path) -> None:
    write_table(tmp_path)
    with pytest.raises(InputError, match=r"no label column 'labels'; did you mean label"):
        open_cases(tmp_path, label="labels")
    with pytest.raises(InputError, match=r"no subgroup column 'Sex'; did you mean sex"):
        open_cases(tmp_path, subgroups=("Sex",))


# --- class folders ---


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
        ({"group_pattern": r"\d"}, "finds no group in"),
        ({"group": "none", "classes": ("x", "z")}, "folder 'y' is not among the classes"),
    ):
        with pytest.raises(InputError, match=said):
            open_cases(tmp_path, **options)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"neither cases\.csv nor subfolders"):
        open_cases(tmp_path, group="none")
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.gif").write_bytes(b"GIF89a")
    with pytest.raises(InputError, match=r"no images under .*looked for \.png"):
        open_cases(tmp_path, group="none")


def test_the_folder_is_called_by_its_name_from_within(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write_images(tmp_path / "cohort", "x/1.png", "y/2.png"))
    assert open_cases(".", group="none").source == "folder cohort"


def test_what_is_nowhere_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", "~nobody-of-this-name/images"):
        with pytest.raises(InputError, match="no such folder or file"):
            open_cases(path)
    write_images(tmp_path, "a.png")
    with pytest.raises(InputError, match="neither a folder of images nor a MedMNIST"):
        open_cases(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"count = 8 does not apply"):
        open_cases(tmp_path, count=8, group="none")


# --- MedMNIST ---


def write_npz(path: Path, deflated: bool = True, **arrays: npt.NDArray[Any]) -> Path:
    (np.savez_compressed if deflated else np.savez)(path, **arrays)
    return path


def medmnist(n: int = 6, channels: int | None = None) -> dict[str, npt.NDArray[Any]]:
    shape = (n, 7, 5) if channels is None else (n, 7, 5, channels)
    pixels = np.random.default_rng(3).integers(0, 256, shape).astype(np.uint8)
    return {"test_images": pixels, "test_labels": (np.arange(n) % 3)[:, None]}


@pytest.mark.parametrize("deflated", [True, False])
@pytest.mark.parametrize("channels", [None, 1, 3])
def test_medmnist_files(tmp_path: Path, deflated: bool, channels: int | None) -> None:
    arrays = medmnist(channels=channels)
    path = write_npz(tmp_path / "toy.npz", deflated, **arrays)
    kind = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
    assert {i.compress_type for i in zipfile.ZipFile(path).infolist()} == {kind}
    cases = open_cases(path, group="none")
    assert (cases.classes, labels(cases)) == (("0", "1", "2"), [0, 1, 2, 0, 1, 2])
    assert not cases.grouped and cases.source == "MedMNIST toy"
    for i, case in enumerate(cases):
        wanted = torch.from_numpy(arrays["test_images"][i].reshape(7, 5, -1)).permute(2, 0, 1)
        assert torch.equal(case.image, wanted / 255)
        assert case.id == case.group == f"test-{i}"


def test_medmnist_order_of_memory_and_label_columns(tmp_path: Path) -> None:
    arrays = medmnist()
    plain = open_cases(write_npz(tmp_path / "a.npz", **arrays), group="none")
    arrays["test_images"] = np.asfortranarray(arrays["test_images"])
    arrays["test_labels"] = np.array([[0, 1]] * 6)
    turned = open_cases(write_npz(tmp_path / "b.npz", **arrays), group="none", label="1")
    assert labels(turned) == [1] * 6
    assert all(torch.equal(a.image, b.image) for a, b in zip(plain, turned))
    with pytest.raises(InputError, match="label columns 0 to 1; '2' is not among them"):
        open_cases(tmp_path / "b.npz", group="none", label="2")


def test_medmnist_with_two_classes_or_names(tmp_path: Path) -> None:
    arrays = medmnist()
    arrays["test_labels"] = np.zeros(6, np.int64)
    path = write_npz(tmp_path / "a.npz", **arrays)
    assert open_cases(path, group="none").classes == ("0", "1")
    assert open_cases(path, group="none", classes=("x", "y", "z")).classes == ("x", "y", "z")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"test_labels": np.array([0, 1, -1, 0, 0, 0])}, "label -1 is out of range"),
        ({"test_labels": np.array([0, 1, 10**9, 0, 0, 0])}, "label 1000000000 is out of range"),
        ({"test_labels": np.array([0, 0.5, 1, 0, 0, 0])}, "must be whole numbers"),
        ({"test_labels": np.array(1)}, "must be whole numbers"),
        ({"test_labels": np.array([None] * 6)}, "holds Python objects"),
        ({"test_labels": np.array([0, 1])}, "with 2 labels"),
        ({"test_images": np.zeros((6, 7, 5), np.float32)}, "must be uint8"),
        ({"test_images": np.zeros((6, 7, 5, 7), np.uint8)}, "must be uint8"),
        ({"test_images": np.zeros((0, 7, 5)), "test_labels": np.zeros((0, 1), int)}, "npz"),
    ],
)
def test_medmnist_files_that_do_not_fit(
    tmp_path: Path, change: dict[str, npt.NDArray[Any]], said: str
) -> None:
    path = write_npz(tmp_path / "toy.npz", **(medmnist() | change))
    with pytest.raises(InputError, match=said):
        open_cases(path, group="none")


def test_medmnist_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "toy.npz", **medmnist(400))
    whole = path.read_bytes()
    with pytest.raises(InputError, match=r'does not name patients; set group = "none"'):
        open_cases(path)
    with pytest.raises(InputError, match=r"no array 'val_images'; did you mean test_images"):
        open_cases(path, group="none", split="val")
    start = whole.index(b"test_images.npy") + len("test_images.npy") + 20
    bent = bytearray(whole)
    bent[start : start + 2000] = b"\xff" * 2000
    with pytest.raises(zlib.error):  # the damage is where it should be
        np.load(_written(tmp_path / "bent.npz", bytes(bent)))["test_images"]
    for content in (b"", b"garbage" * 99, whole[: len(whole) // 2], bytes(bent)):
        broken = _written(tmp_path / "broken.npz", content)
        with pytest.raises(InputError, match=r"broken\.npz is not an npz file that can be read"):
            open_cases(broken, group="none")


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


# --- phantoms ---


def test_phantoms_share_no_patient_between_splits() -> None:
    seen: set[str] = set()
    pictures: set[bytes] = set()
    for split in ("train", "val", "test"):
        cases = open_cases("phantom:chest_xray", split=split, count=8, pixels=28)
        assert Counter(labels(cases)) == {0: 4, 1: 4}
        assert [c.group for c in cases][:2] == [cases[0].group] * 2
        assert len({c.group for c in cases}) == 4
        assert cases.phantom and cases.grouped
        assert not seen & {c.group for c in cases}
        seen |= {c.group for c in cases}
        pictures |= {c.image.numpy().tobytes() for c in cases}
    assert len(pictures) == 24


def test_phantoms_by_seed_and_size() -> None:
    first = open_cases("phantom:fundus", count=4, pixels=32)
    assert first[0].image.shape == (3, 32, 32)
    assert torch.equal(first[1].image, open_cases("phantom:fundus", count=4, pixels=32)[1].image)
    other = open_cases("phantom:fundus", count=4, pixels=32, seed=1)
    assert not torch.equal(first[1].image, other[1].image)
    assert not open_cases("phantom:fundus", count=4, group="none").grouped


@pytest.mark.parametrize(
    ("path", "options", "said"),
    [
        ("phantom:chest", {}, "no synthetic images of 'chest'; did you mean chest_xray"),
        ("phantom:fundus", {"count": 1}, "count must be at least 2"),
        ("phantom:fundus", {"pixels": 27}, "pixels at least 28"),
        ("phantom:fundus", {"split": "tests"}, "no split 'tests'; did you mean test"),
        ("phantom:fundus", {"label": "dx"}, "label = 'dx' does not apply"),
    ],
)
def test_phantoms_that_are_not_there(path: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        open_cases(path, **options)


# --- what is read, and how ---


def test_size_and_grey_change_what_is_read(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 6, 3)).astype(np.uint8)
    (tmp_path / "x").mkdir()
    Image.fromarray(pixels).save(tmp_path / "x" / "a.png")
    grey = open_cases(tmp_path, group="none", grey=True)[0].image
    wanted = (pixels / 255) @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(grey[0].numpy(), wanted, atol=1e-6)
    assert open_cases(tmp_path, group="none", size=5)[0].image.shape[1:] == (5, 5)
    small = open_cases(tmp_path, group="none", size=(4, 3))[0].image
    assert small.shape == (3, 4, 3) and small.min() >= 0 and small.max() <= 1
    same = open_cases(tmp_path, group="none", size=(8, 6))[0].image
    assert torch.equal(same, open_cases(tmp_path, group="none")[0].image)


def test_slices_are_cases(tmp_path: Path) -> None:
    cases = open_cases("phantom:chest_xray", count=8, pixels=28)
    assert [c.id for c in cases[2:6:2]] == [cases[2].id, cases[4].id]
    assert cases[-1].id == cases[7].id
    assert isinstance(cases[1:3], Cases)
    with pytest.raises(IndexError):
        cases[8]


def test_the_fingerprint_tells_sets_apart(tmp_path: Path) -> None:
    write_table(tmp_path)
    base = open_cases(tmp_path)
    assert base.fingerprint() == open_cases(tmp_path).fingerprint()
    others = [
        open_cases(tmp_path, group="none"),
        open_cases(tmp_path, split="all"),
        open_cases(tmp_path, subgroups=("site",)),
        open_cases(tmp_path, grey=True),
        open_cases(tmp_path, size=(3, 3)),
        open_cases(tmp_path, classes=("p", "q", "r")),
        base[::-1],
    ]
    prints = {base.fingerprint(), *(other.fingerprint() for other in others)}
    Image.new("L", (50, 40), 3).save(tmp_path / "b" / "scan3.png")
    prints.add(open_cases(tmp_path).fingerprint())
    assert len(prints) == len(others) + 2


# --- streaming ---


class Shelf:
    """A reader of invented pixels that counts what is asked of it."""

    def __init__(self, *broken: int) -> None:
        self.broken = broken
        self.reads = 0

    def __call__(self, row: int) -> npt.NDArray[np.uint8]:
        self.reads += 1
        if row in self.broken:
            raise InputError(f"row {row} is broken")
        return np.full((6, 6), row % 256, np.uint8)

    def cases(self, n: int) -> Cases:
        entries = tuple(Entry(str(i), i % 2, str(i), {}, i) for i in range(n))
        return Cases("invented", ("a", "b"), entries, self)


def test_a_stream_keeps_the_order_and_puts_errors_in_their_place() -> None:
    rows = [5, 2, 77, 2, 40, 99, 0, *range(50, 90)]
    found = list(Shelf(77, 0).cases(100).stream(rows))
    assert len(found) == len(rows)
    for row, case in zip(rows, found):
        if row in (77, 0):
            assert isinstance(case, InputError) and str(case) == f"row {row} is broken"
        else:
            assert not isinstance(case, InputError)
            assert case.id == str(row) and torch.all(case.image == row / 255)


def test_another_error_of_a_reader_is_not_swallowed() -> None:
    def read(row: int) -> npt.NDArray[np.uint8]:
        raise ZeroDivisionError

    cases = Cases("invented", ("a", "b"), (Entry("0", 0, "0", {}, 0),), read)
    with pytest.raises(ZeroDivisionError):
        list(cases.stream([0]))


def test_an_empty_stream_ends() -> None:
    assert list(Shelf().cases(3).stream([])) == []


def test_a_stream_reads_ahead_no_more_than_told() -> None:
    shelf = Shelf()
    stream = shelf.cases(500).stream(range(500), ahead=8)
    most = 0
    for taken, _ in enumerate(stream):
        most = max(most, shelf.reads - taken)
    assert shelf.reads == 500
    assert most <= 8


def peak_while_streaming(n: int) -> int:
    """Bytes that Python and numpy hold at most, and whatever images pile up with them."""
    import tracemalloc

    cases = Shelf().cases(n)
    tracemalloc.start()
    try:
        for case in cases.stream(range(n)):
            del case
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_number_of_cases() -> None:
    few, many = peak_while_streaming(1_000), peak_while_streaming(20_000)
    # One kept object a case, an Entry's worth of 100 bytes, would add two megabytes.
    assert many < few + 300_000


def test_the_index_of_many_cases_is_small() -> None:
    import tracemalloc

    tracemalloc.start()
    try:
        cases = Shelf().cases(20_000)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(cases) == 20_000
    assert held < 500 * 20_000, "bytes a case"


# --- the real data ---


def test_chest_xray(data: Path) -> None:
    cases = open_cases(data / "chest_xray", findings=("pneumonia",))
    assert len(cases) == 618
    assert cases.classes == ("normal", "pneumonia")
    assert cases[0].image.shape == (3, 224, 224)
    assert open_cases(data / "chest_xray", grey=True)[0].image.shape == (1, 224, 224)
    by_kind = open_cases(data / "chest_xray", label="subtype")
    assert by_kind.classes == ("bacteria", "normal", "virus")
    assert not re.search(r"IM-|NORMAL|jpeg|person", str([(e.id, e.group) for e in cases.entries]))


def test_dermoscopy_has_seven_kinds(data: Path) -> None:
    cases = open_cases(data / "dermoscopy", label="dx", subgroups=("sex", "age", "localization"))
    assert cases.classes == ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
    assert {e.metadata["sex"] for e in cases.entries} <= {"male", "female", "unknown"}
    assert 2 <= len({e.metadata["age"] for e in cases.entries}) <= 5
    everyone = open_cases(data / "dermoscopy", split="all", subgroups=("age",))
    assert Counter(e.metadata["age"] for e in everyone.entries)["unknown"] == 8


def test_fundus_from_one_camera_has_three_classes(data: Path) -> None:
    groups: dict[str, set[str]] = {}
    for split in ("train", "val", "test"):
        cases = open_cases(data / "fundus", split=split, where='source == "odir"')
        assert cases.classes == ("normal", "cataract", "glaucoma")
        groups[split] = {entry.group for entry in cases.entries}
    assert len(open_cases(data / "fundus").classes) == 4
    assert not groups["train"] & groups["test"]
    assert not groups["train"] & groups["val"]
    assert not groups["val"] & groups["test"]


@pytest.mark.parametrize(
    ("name", "sizes", "classes", "channels"),
    [("pneumoniamnist", (4708, 524, 624), 2, 1), ("retinamnist", (1080, 120, 400), 5, 3)],
)
def test_medmnist_as_published(
    data: Path, name: str, sizes: tuple[int, ...], classes: int, channels: int
) -> None:
    path = data / "medmnist" / f"{name}.npz"
    for split, size in zip(("train", "val", "test"), sizes):
        cases = open_cases(path, split=split, group="none")
        assert (len(cases), len(cases.classes)) == (size, classes)
        assert cases[size - 1].image.shape == (channels, 28, 28)
    with np.load(path) as arrays:
        wanted, numbers = arrays["test_images"][5], arrays["test_labels"]
    case = open_cases(path, group="none")[5]
    np.testing.assert_array_equal(case.stored.pixels(case.image), wanted)
    assert labels(open_cases(path, group="none")) == numbers[:, 0].tolist()


def test_patient_007_is_not_patient_7(tmp_path: Path) -> None:
    text = "file,label,group,split\na.png,0,007,test\nb.png,1,7,test\n"
    cases = open_cases(write_table(tmp_path, text), keep_names=True)
    assert [case.group for case in cases] == ["007", "7"]
