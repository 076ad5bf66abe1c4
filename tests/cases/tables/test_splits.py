"""Splits of a table: by column, by path, by lists, by shares; no patient on two sides."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from robust.cases import Cases, open_cases
from robust.cases.split_names import find_split
from robust.cases.tables.shares import draw_splits
from robust.errors import InputError
from tests.cases.tables import write_images, write_table

SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}


def groups(count: int, size: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Groups of several images, and their labels: one in ten is rare."""
    choice = random.Random(seed)
    names = [f"p{i}" for i in range(count) for _ in range(size)]
    kinds = {f"p{i}": "rare" if i % 10 == 0 else choice.choice("ab") for i in range(count)}
    return names, [kinds[name] for name in names]


@pytest.mark.parametrize("count", [10, 50, 503])
def test_shares_hold_whole_groups_and_each_class_in_proportion(count: int) -> None:
    names, kinds = groups(count, 3)
    drawn = draw_splits(names, kinds, SHARES, 0)
    of_group: dict[str, set[str]] = {}
    for name, split in zip(names, drawn):
        of_group.setdefault(name, set()).add(split)
    assert all(len(splits) == 1 for splits in of_group.values())
    sizes = Counter(min(splits) for splits in of_group.values())
    for split, share in SHARES.items():
        assert abs(sizes[split] - share * count) < 1, "over all"
    kind_of = dict(zip(names, kinds))
    for kind in ("a", "b", "rare"):
        members = [name for name in of_group if kind_of[name] == kind]
        inside = Counter(min(of_group[name]) for name in members)
        for split, share in SHARES.items():
            assert abs(inside[split] - share * len(members)) < 2, "in each class"


def test_shares_follow_from_names_and_seed_alone() -> None:
    names, kinds = groups(60, 2)
    first = dict(zip(names, draw_splits(names, kinds, SHARES, 7)))
    order = list(range(len(names)))
    random.Random(1).shuffle(order)
    again = draw_splits([names[i] for i in order], [kinds[i] for i in order], SHARES, 7)
    assert dict(zip((names[i] for i in order), again)) == first
    turned = {name: SHARES[name] for name in reversed(SHARES)}
    assert dict(zip(names, draw_splits(names, kinds, turned, 7))) == first
    assert dict(zip(names, draw_splits(names, kinds, SHARES, 8))) != first


def test_a_group_with_several_labels_counts_for_the_rarest() -> None:
    names = [f"p{i}" for i in range(30) for _ in range(2)]
    kinds = ["common" if i % 2 or i >= 20 else "rare" for i in range(60)]
    drawn = dict(zip(names, draw_splits(names, kinds, {"train": 0.5, "test": 0.5}, 0)))
    assert Counter(drawn[f"p{i}"] for i in range(10)) == {"train": 5, "test": 5}


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ({"train": 0.7, "test": 0.2}, "add up to 0.9, not 1"),
        ({"train": 70, "test": 30}, "above 0 and at most 1"),
        ({"train": 1.0, "test": 0.0}, "above 0 and at most 1"),
        ({"train": 0.5, "test": "list.txt"}, "lists of images, or shares"),
        ({}, "lists of images, or shares"),
    ],
)
def test_shares_that_are_none(tmp_path: Path, shares: dict[str, Any], said: str) -> None:
    write_table(tmp_path)
    with pytest.raises(InputError, match=said):
        open_cases(tmp_path, splits=shares)


def table_of(root: Path, count: int = 40) -> Path:
    lines = ["file,label,other,group,age"]
    for i in range(count):
        lines.append(f"{i}.png,{i // 2 % 2},{i % 3},patient {i // 2},{i}")
    return write_table(root, "\n".join(lines))


def owners(cases: Cases) -> set[str]:
    return {entry.group for entry in cases.entries}


def test_a_table_without_splits_gets_them_drawn_and_says_so(tmp_path: Path) -> None:
    table_of(tmp_path)
    parts = {s: open_cases(tmp_path, splits=SHARES, split=s) for s in SHARES}
    assert {s: len(owners(c)) for s, c in parts.items()} == {"train": 12, "val": 4, "test": 4}
    assert len(set().union(*map(owners, parts.values()))) == 20
    said = "splits drawn by group with seed 0, stratified by label: train 0.6, val 0.2, test 0.2"
    assert said in parts["val"].source
    assert owners(open_cases(tmp_path, splits=SHARES)) == owners(parts["test"])
    assert owners(open_cases(tmp_path, splits=SHARES, split_seed=1)) != owners(parts["test"])
    single = open_cases(tmp_path, splits=SHARES, group="none")
    assert "drawn by image" in single.source and len(single) == 8


def test_drawn_splits_are_those_of_the_whole_table(tmp_path: Path) -> None:
    """A network was trained on some of the patients, whatever is audited afterwards."""
    table_of(tmp_path)
    test = owners(open_cases(tmp_path, splits=SHARES))
    assert owners(open_cases(tmp_path, splits=SHARES, where="age > 9")) <= test
    found = open_cases(tmp_path, splits=SHARES, label="other", positive=("2",))
    other = open_cases(tmp_path, splits=SHARES, label="other", positive=("0", "1"))
    assert owners(found) == owners(other), "the same patients for each finding"


def test_shares_need_patients(tmp_path: Path) -> None:
    write_table(tmp_path, "file,label\na.png,0\nb.png,1\n")
    with pytest.raises(InputError, match="splits by shares need the patient"):
        open_cases(tmp_path, splits=SHARES)
    named = open_cases(tmp_path, splits={"train": 0.5, "test": 0.5}, group_pattern="(a|b)")
    assert len(named) == 1


def test_splits_by_path(tmp_path: Path) -> None:
    files = [f"set/{s}/p{i}/{s}{i}.png" for s in ("train", "valid", "test") for i in range(2)]
    write_table(tmp_path, "\n".join(["file,label", *(f"{f},{i % 2}" for i, f in enumerate(files))]))
    options: dict[str, Any] = {"group": "none", "splits": "path"}
    for split, found in (("val", "valid"), ("valid", "valid"), ("train", "train"), (None, "test")):
        cases = open_cases(tmp_path, split=split, **options)
        assert (len(cases), cases.split) == (2, found)
    with pytest.raises(InputError, match="1 of 7 images lie in no folder train"):
        write_table(tmp_path, "\n".join(["file,label", *(f"{f},0" for f in [*files, "x/0.png"])]))
        open_cases(tmp_path, **options)


def test_splits_by_lists(tmp_path: Path) -> None:
    names = [f"images_{i % 2}/{i:03d}.png" for i in range(8)]
    rows = [f"{Path(name).name},{i % 2},{i // 2}" for i, name in enumerate(names)]
    write_images(tmp_path, *names)
    (tmp_path / "cases.csv").write_text("\n".join(["file,label,group", *rows]))
    (tmp_path / "test.txt").write_bytes(b"\xef\xbb\xbf000.png\r\n./001.png\r\n\r\nabsent.png\r\n")
    (tmp_path / "train.txt").write_text("images_0/002.png\n003\n004.PNG\n")
    lists = {"test": "test.txt", "train": str(tmp_path / "train.txt")}
    test = open_cases(tmp_path, splits=lists, keep_names=True)
    assert [e.id for e in test.entries] == names[:2]
    train = {"splits": {**lists, "train": "whole.txt"}, "split": "train", "keep_names": True}
    (tmp_path / "whole.txt").write_text("images_0/002.png\n003\n004.PNG\n005\n")
    assert [e.id for e in open_cases(tmp_path, **train).entries] == names[2:6]
    assert len(open_cases(tmp_path, splits=lists, split="all")) == 8
    for text, said in (
        ("001.png\n", "1 images are in the lists of both test and train"),
        ("x.png\n", "train.txt names no image of the table"),
    ):
        (tmp_path / "train.txt").write_text(text)
        with pytest.raises(InputError, match=said):
            open_cases(tmp_path, splits=lists)
    with pytest.raises(InputError, match=r"no such list: nolist\.txt"):
        open_cases(tmp_path, splits={"test": "nolist.txt"})


def test_a_patient_on_two_sides_is_an_error(tmp_path: Path) -> None:
    text = (
        "file,label,group,split\na.png,0,Jane Doe,train\nb.png,1,Jane Doe ,test\nc.png,1,p2,test\n"
    )
    write_table(tmp_path, text + "d.png,1,p3,val\ne.png,0,p3,test\nf.png,0,p4,\n")
    with pytest.raises(InputError) as refused:
        open_cases(tmp_path)
    said = str(refused.value)
    assert "2 groups (patients or lesions, 4 images) are in more than one split" in said
    assert "1 in test and train, 1 in test and val" in said and "Jane" not in said
    with pytest.raises(InputError, match="more than one split"):
        open_cases(tmp_path, split="train")
    assert len(open_cases(tmp_path, split="all")) == 6, "no side is taken"
    assert len(open_cases(tmp_path, where='file not in ["a.png", "d.png"]')) == 3
    assert len(open_cases(tmp_path, group="none")) == 3


def test_a_column_of_another_name(tmp_path: Path) -> None:
    write_table(tmp_path, "file,label,group,fold\na.png,0,1,dev\nb.png,1,2,test\n")
    assert len(open_cases(tmp_path, splits="fold", split="validation")) == 1
    assert open_cases(tmp_path).split == "all", "nobody said that fold is a split"
    with pytest.raises(InputError, match="no split column 'fld'; did you mean fold"):
        open_cases(tmp_path, splits="fld")
    with pytest.raises(InputError, match="no split column 'split'"):
        open_cases(tmp_path, split="test")


def test_val_has_several_names() -> None:
    for word in ("val", "valid", "validation", "dev"):
        assert find_split(word, ["train", "dev"]) == "dev"
    assert find_split("val", ["val", "valid"]) == "val"
    assert find_split("test", ["train", "dev"]) is None
    with pytest.raises(InputError, match="valid and dev could each be the split 'val'"):
        find_split("val", ["valid", "dev"])
