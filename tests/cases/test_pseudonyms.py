"""Pseudonyms: salted by the data set's own content, the same in every split, filter and place."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from robust.cases import Cases, open_cases
from robust.cases.pseudonyms import FILES, pseudonym, salt_of
from robust.errors import InputError

PATIENTS = [f"0{i:06d}" for i in range(12)]


def noise(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 9), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def as_table(root: Path, seed: int = 0) -> Path:
    """24 images of 12 patients, half of them in test and half in train."""
    lines = ["file,label,group,split,age"]
    for i in range(24):
        noise(root / f"scan_{i:02d}.png", 100 * seed + i)
        split = "test" if i // 2 % 2 else "train"
        lines.append(f"scan_{i:02d}.png,{i % 2},{PATIENTS[i // 2]},{split},{i}")
    (root / "cases.csv").write_text("\n".join(lines))
    return root


def as_folders(root: Path, seed: int = 0) -> Path:
    for i in range(24):
        split, kind = ("test", "train")[i % 2], ("ill", "well")[i // 2 % 2]
        noise(root / split / kind / f"{PATIENTS[i // 2]}_{i}.png", 100 * seed + i)
    return root


def owners(cases: Cases) -> dict[str, str]:
    """Pseudonym of each group by the patient in the order of the numbers in the files' names."""
    found = {}
    for entry in cases.entries:
        number = int(entry.location.stem.split("_")[1])
        found[PATIENTS[number // 2]] = entry.group
    return found


KINDS: list[tuple[Any, dict[str, Any]]] = [
    (as_table, {}),
    (as_folders, {"group_pattern": r"/(\d+)_\d+\.png"}),
]


@pytest.mark.parametrize(("make", "options"), KINDS)
def test_a_patient_has_one_pseudonym_in_a_data_set(
    make: Any, options: dict[str, Any], tmp_path: Path
) -> None:
    root = make(tmp_path / "a")
    test, train = (owners(open_cases(root, split=s, **options)) for s in ("test", "train"))
    assert test == train or make is as_table
    everyone = test | train
    assert len(set(everyone.values())) == len(PATIENTS)
    assert (test.items() | train.items()) == everyone.items()
    assert owners(open_cases(root, split="test", limit=3, **options)).items() <= test.items()
    if make is as_table:
        assert owners(open_cases(root, split="all")) == everyone
        for where in ("age > 9", "group != '0000000' and file != 'scan_03.png'"):
            part = owners(open_cases(root, split="test", where=where))
            assert part and part.items() <= test.items()
    shutil.copytree(root, tmp_path / "moved" / "elsewhere")
    moved = open_cases(tmp_path / "moved" / "elsewhere", split="test", **options)
    assert owners(moved) == test
    assert [e.id for e in moved.entries] == [
        e.id for e in open_cases(root, split="test", **options).entries
    ]
    other = make(tmp_path / "b", seed=1)
    assert not set(owners(open_cases(other, split="test", **options)).values()) & set(test.values())


@pytest.mark.parametrize(("make", "options"), KINDS)
def test_no_list_of_names_leads_back(make: Any, options: dict[str, Any], tmp_path: Path) -> None:
    """Not by hashing names, nor with what a run writes of the data as key."""
    root = make(tmp_path)
    cases = open_cases(root, split="test", **options)
    shown = {e.id for e in cases.entries} | {e.group for e in cases.entries}
    contents = [cases.content(i) for i in range(len(cases))]
    names = [*PATIENTS, *(p.relative_to(root).as_posix() for p in root.rglob("*.png"))]
    keys = [b"", cases.fingerprint().encode(), cases.source.encode(), b"salt of a data set\0"]
    for name in names:
        text = name.encode()
        tried = {hashlib.new(kind, key + text) for key in keys for kind in ("sha256", "md5")}
        tried |= {hashlib.sha256(text + b"\n"), hashlib.blake2b(text), hashlib.sha1(text)}
        assert not {one.hexdigest()[:12] for one in tried} & shown
    joined = "".join(contents).encode(), b"".join(map(bytes.fromhex, contents))
    salts = [*map(bytes.fromhex, contents), *joined, *(hashlib.sha256(j).digest() for j in joined)]
    salts += [key for key in keys if key]
    assert not {pseudonym(name, salt) for name in names for salt in salts} & shown


def test_names_are_kept_when_the_plan_says_so(tmp_path: Path) -> None:
    cases = open_cases(as_table(tmp_path), keep_names=True)
    assert cases.entries[0].id == "scan_02.png" and cases.entries[0].group == PATIENTS[1]


def test_the_salt_comes_from_several_files_and_passes_over_missing_ones(tmp_path: Path) -> None:
    files = [tmp_path / f"{i:02d}" for i in range(FILES + 3)]
    for i, path in enumerate(files):
        path.write_bytes(b"same" if i < 2 else str(i).encode())
    first = salt_of(files)
    assert salt_of(iter(files)) == first and len(first) == 32
    files[FILES].write_bytes(b"changed")
    assert salt_of(files) == first, "later files are not read"
    files[FILES - 1].write_bytes(b"changed")
    assert salt_of(files) != first
    present = salt_of(files[1:])
    files[0].unlink()
    assert salt_of(files) == present
    files[1].unlink()
    if hasattr(os, "mkfifo"):
        os.mkfifo(files[1])
    assert salt_of(files) == salt_of(files[2:])


def test_content_is_not_moved_from_file_to_file(tmp_path: Path) -> None:
    salts = set()
    for parts in ((b"ab", b"c"), (b"a", b"bc"), (b"abc", b""), (b"", b"abc")):
        for name, part in zip("xy", parts, strict=True):
            (tmp_path / name).write_bytes(part)
        salts.add(salt_of([tmp_path / "x", tmp_path / "y"]))
    assert len(salts) == 4


def test_without_a_file_there_is_no_secret_and_no_pseudonym(tmp_path: Path) -> None:
    (tmp_path / "cases.csv").write_text("file,label,group\na.png,0,1\nb.png,1,2\n")
    for keep_names in (False, True):
        with pytest.raises(InputError, match=r"none of its 2 images lies in .*a\.png first"):
            open_cases(tmp_path, keep_names=keep_names)
    noise(tmp_path / "b.png", 0)
    assert len(open_cases(tmp_path)) == 2, "a missing image is named where it is read"
    (tmp_path / "b.png").chmod(0)
    if os.geteuid():
        with pytest.raises(InputError, match=r"no image of the data set can be read"):
            open_cases(tmp_path)


def test_a_pseudonym_needs_no_text_that_can_be_encoded() -> None:
    assert pseudonym("a\udcfc", b"salt") != pseudonym("a\udcfd", b"salt")
