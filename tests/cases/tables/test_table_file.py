"""cases.csv as a file: wide, odd, broken, or no table at all."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

from robust.cases import Cases, open_cases
from robust.cases.tables.table_file import TableFile
from robust.errors import InputError
from tests.cases.tables import TABLE, write_images

LINES = ["file,label,group,split", "0.png,0,g0,test", "1.png,1,g1,test", "2.png,1,g2,"]


def opened(root: Path, text: str | bytes, **options: Any) -> Cases:
    if not (root / "0.png").exists():
        write_images(root, "0.png", "1.png", "2.png")
    (root / "cases.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    return open_cases(root, **options)


def test_columns_that_nobody_names_cost_nothing(tmp_path: Path) -> None:
    count = 60_000
    names = "".join(f",c{i}" for i in range(count))
    text = "\n".join([LINES[0] + names, *(line + ",1" * count for line in LINES[1:])])
    began = time.process_time()
    assert len(opened(tmp_path, text)) == 2
    assert len(open_cases(tmp_path, where=f"c0 == 1 and c{count - 1} == 1")) == 2
    for wrong in ({"where": "nope > 1"}, {"label": "lable"}, {"subgroups": ("c0x",)}):
        with pytest.raises(InputError) as refused:
            open_cases(tmp_path, **wrong)
        assert len(str(refused.value)) < 300
    assert time.process_time() - began < 10


def test_only_the_columns_in_use_are_kept(tmp_path: Path) -> None:
    (tmp_path / "cases.csv").write_text("a,b,x,x\n007,7,1,2\n,2,3,4\n")
    table = TableFile(tmp_path / "cases.csv")
    assert table.header == ("a", "b", "x", "x")
    assert table.columns({"a", "b", "absent"}) == {"a": ["007", ""], "b": ["7", "2"]}
    with pytest.raises(InputError, match=r"has 2 columns 'x'; keep one"):
        table.columns({"x"})


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(LINES),
        "\r\n".join(LINES) + "\r\n",
        "\r".join(LINES),
        b"\xef\xbb\xbf" + "\n".join(LINES).encode(),
        b"\xef\xbb\xbf" + "\n".join(LINES).replace("file", '"file"').encode(),
        "\n\n".join(LINES) + "\n,,,\n \t\n\n",
        "\n".join([LINES[0], *(line + ",," for line in LINES[1:])]),
        "\n".join(LINES).replace(",", ";"),
        "\n".join(LINES).replace(",", "\t"),
        "\n".join(LINES).replace(",", "|"),
        "\n".join(LINES).replace(",", ", "),
        "\n".join(LINES).replace(",", " , "),
        "\n".join([*LINES, ",,,,,"]),
        "\n".join([LINES[0], *(line.replace(",g", ",1;5") for line in LINES[1:])])
        .replace(",", "\0")
        .replace(";", ",")
        .replace("\0", ";"),
        "\n".join(LINES).replace("g0", '"g,0"').replace("g1", '"a ""g"""'),
        "\n".join(f"{i},{line}" for i, line in enumerate(LINES)).replace("0", "", 1),
    ],
)
def test_tables_as_programs_write_them(tmp_path: Path, text: str | bytes) -> None:
    cases = opened(tmp_path, text, keep_names=True)
    assert [entry.id for entry in cases.entries] == ["0.png", "1.png"]
    assert [entry.label for entry in cases.entries] == [0, 1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot be read as a table: it is empty"),
        ("\n\n", "cannot be read as a table: it is empty"),
        (LINES[0], "has no rows"),
        (LINES[0] + "\n,,,\n", "has no rows"),
        ("\n".join(LINES)[:-2], "line 4 has 3 cells where the header has 4"),
        ("\n".join(LINES) + "\na.png,0,Doe, Jane,test", "line 5 has 5 cells where the header"),
        ("\n".join(LINES).replace("1.png", '"1.png'), "line 4: a quote is not closed"),
        ("\n".join(LINES).replace("0.png", '"0.png').replace(",1,g2", '",1,g2'), "a line break"),
        ("\n".join(LINES).replace("0.png", '"0.png"x'), "line 2: ',' expected after"),
        ('"file,label\n' + "a,b\n" * 100_000, "field larger than"),
        ("file," + "x" * 200_000 + ",label\n", "field larger than"),
        ("file,label," + "x" * (17 << 20), "a line of more than 16777216 characters"),
        ("\n".join(LINES).replace("g1", "g\0"), "zero bytes; save it as CSV in UTF-8"),
        ("\n".join(LINES).encode("utf-16"), "zero bytes; save it as CSV in UTF-8"),
        ("\n".join(LINES).replace("g1", "gü").encode("cp1252"), "not a text file in UTF-8"),
        (LINES[0] + ",label\n" + "0.png,0,g,test,1", "has 2 columns 'label'"),
        (LINES[0] + ",split\n" + "0.png,0,g,test,val", "has 2 columns 'split'"),
        ("name\nx.png", r"cases\.csv has no file column"),
        ("name\n0.png", r"cases\.csv has no label column"),
        ("\n".join(LINES).replace("g1", "  "), r"1\.png has no group"),
        ("\n".join(LINES).replace("1.png", "  "), "a row names no file"),
        ("\n".join(LINES).replace("1.png,1", "1.png, "), r"1\.png has no label"),
        ("\n".join(LINES).replace("1.png", "x" * 5000), "cannot be read: the name is too long"),
        ("\n".join(LINES).replace("test", ""), "its column is empty; set split = \"all\""),
        (
            LINES[0] + "\n" + "\n".join(f"{i}.png,name {i},g,test" for i in range(10_001)),
            "label has 10001 values, too many for classes",
        ),
    ],
)  # fmt: skip
def test_what_is_no_table_is_one_line(tmp_path: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(InputError, match=said) as refused:
        opened(tmp_path, text)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 1200


def test_a_blank_split_beside_an_unknown_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no rows of split 'tset'; did you mean test"):
        opened(tmp_path, "\n".join(LINES), split="tset")
    assert len(open_cases(tmp_path, split="all")) == 3, "a row of no split"
    numbers = "\n".join(LINES).replace("test", "0")
    assert len(opened(tmp_path, numbers, split="0")) == 2


def test_a_table_larger_than_allowed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("robust.cases.tables.table_file.MOST_BYTES", 40)
    with pytest.raises(InputError, match=r"cases\.csv is larger than 40 bytes"):
        opened(tmp_path, "\n".join(LINES))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such devices")
def test_a_table_that_is_no_file_is_refused(tmp_path: Path) -> None:
    """It is not passed over either: the class folders beside it are another data set."""
    write_images(tmp_path, "x/0.png", "y/1.png")
    place = tmp_path / "cases.csv"
    os.mkfifo(place)
    with pytest.raises(InputError, match="is a pipe or a device"):
        open_cases(tmp_path, group="none")
    place.unlink()
    for target, said in (("/dev/full", "is a pipe or a device"), ("nowhere", "no such file")):
        place.symlink_to(target)
        with pytest.raises(InputError, match=said):
            open_cases(tmp_path)
        place.unlink()
    place.mkdir()
    with pytest.raises(InputError, match="is a folder, not a file"):
        open_cases(tmp_path)


def test_subgroups_of_odd_numbers(tmp_path: Path) -> None:
    odd = ["inf", "-inf", *(str(1 + i * 1e-14) for i in range(14))]
    rows = [f"{i}.png,{i % 2},g{i},{'test' if i < 3 else 'x'},{v}" for i, v in enumerate(odd)]
    cases = opened(tmp_path, "\n".join([LINES[0] + ",score", *rows]), subgroups=("score",))
    names = [entry.metadata["score"] for entry in cases.entries]
    assert names[0].startswith("over 1.0") and names[1].startswith("to 1.0")


def test_mutants_of_a_table_end_in_cases_or_in_one_line(tmp_path: Path) -> None:
    files = [line.split(",")[0] for line in TABLE.splitlines()[1:]]
    write_images(tmp_path, *files)
    choice = random.Random(0)
    whole = TABLE.encode()
    worked = 0
    for _ in range(300):
        mutant = bytearray(whole)
        for _ in range(choice.randrange(1, 5)):
            at = choice.randrange(len(mutant))
            match choice.randrange(4):
                case 0:
                    mutant[at] = choice.randrange(256)
                case 1:
                    del mutant[at : at + choice.randrange(1, 30)]
                case 2:
                    mutant[at:at] = choice.choice([b",", b'"', b"\n", b"\r", b"\0", b"\xff", b"9"])
                case 3:
                    mutant[at:at] = mutant[choice.randrange(len(mutant)) :][:30]
        (tmp_path / "cases.csv").write_bytes(mutant)
        try:
            open_cases(tmp_path, split="all", where="age > 3 or sex is None", subgroups=("site",))
            worked += 1
        except InputError as error:
            assert "\n" not in str(error)
    assert worked > 5
