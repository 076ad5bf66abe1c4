"""A folder with cases.csv: splits, labels, groups, subgroups; and the real data sets."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pytest

from robust.cases import open_cases
from robust.errors import InputError
from tests.cases.tables import TABLE, labels, write_table


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
    for wrong, said in (
        ("agee > 3", r"names a column 'agee' that cases\.csv does not have; did you mean age"),
        ("age > 300", r"matches no row of cases\.csv, which has 5"),
        ("age = 3", "write == to compare"),
        ("group == 7", r'holds text, such as "Jane Doe"; write the value in quotes'),
    ):
        with pytest.raises(InputError, match=said):
            open_cases(tmp_path, where=wrong)


def test_the_source_tells_of_a_filter_and_not_what_it_says(tmp_path: Path) -> None:
    cases = open_cases(write_table(tmp_path / "cohort"), where='group != "Jane Doe"')
    assert cases.source == "a folder of images with a table, filtered to 3 of 5 rows"
    assert open_cases(tmp_path / "cohort").source == "a folder of images with a table"


def test_rows_that_a_filter_leaves_out_need_no_file_and_no_label(tmp_path: Path) -> None:
    text = TABLE + ",,,,,,,,\n,2,,,,,,,clinic\n"
    cases = open_cases(write_table(tmp_path, text), split="all", where="file is not None")
    assert len(cases) == 5


def test_groups_from_another_column_or_none(tmp_path: Path) -> None:
    write_table(tmp_path)
    assert len({c.group for c in open_cases(tmp_path, group="site", split="all")}) == 2
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


def test_a_manifest_that_is_no_table_is_refused(tmp_path: Path) -> None:
    for name, content, said in (
        ("empty", b"", "cannot be read as a table"),
        ("header", b"file,label,group\n", "has no rows"),
        ("garbage", bytes(range(128, 256)) * 9, "UTF-8"),
        ("latin", "file,label,group\na.png,0,Jürgen\n".encode("cp1252"), "UTF-8"),
        ("ragged", b"file,label,group\na.png,0,1\nb.png,0,1,2,3\n", "line 3 has 5 cells where"),
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


def test_patient_007_is_not_patient_7(tmp_path: Path) -> None:
    text = "file,label,group,split\na.png,0,007,test\nb.png,1,7,test\n"
    cases = open_cases(write_table(tmp_path, text), keep_names=True)
    assert [case.group for case in cases] == ["007", "7"]
