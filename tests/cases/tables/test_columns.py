"""Tables stacked and joined; spreadsheets and packed tables; groups that a cell does not name."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from robust.cases import open_cases
from robust.cases.cell_types import WORDS, typed
from robust.cases.tables import table_file
from robust.errors import InputError
from tests.cases.tables import labels, write_images


def write(root: Path, **tables: str) -> Path:
    write_images(root, *(f"{i}.png" for i in range(4)))
    for name, text in tables.items():
        (root / f"{name}.csv").write_text(text, encoding="utf-8")
    return root


VIEWS = "file,study,view\n0.png,7,PA\n1.png,7,L\n2.png,8,PA\n"


def test_a_table_is_joined_on_the_columns_that_both_have(tmp_path: Path) -> None:
    write(
        tmp_path,
        views=VIEWS,
        studies="study,label,patient\n8.0,0,p1\n7,1,p0\n9,1,p2\n",
        patients="patient,sex\np0,f\np1,m\np2,\n",
    )
    options: dict[str, Any] = {"table": "views.csv", "group": "patient", "keep_names": True}
    joined = {**options, "join": ("studies.csv", "patients.csv")}
    cases = open_cases(tmp_path, **joined, subgroups=("sex",))
    assert [(e.label, e.group, e.metadata["sex"]) for e in cases.entries] == [
        (1, "p0", "f"),
        (1, "p0", "f"),
        (0, "p1", "m"),
    ]
    kept = open_cases(tmp_path, **joined, where='view == "PA" and sex == "f"')
    assert [e.id for e in kept.entries] == ["0.png"]


@pytest.mark.parametrize(
    ("studies", "said"),
    [
        ("study,label\n7,1\n7,1\n8,0\n", "1 rows whose study stands in a row before"),
        ("study,label\n7,1\n", "1 of 3 rows of views.csv have a study that .*studies.csv does not"),
        (
            "stdy,label\n7,1\n",
            "shares no column with views.csv.*it|views.csv has file, study, view",
        ),
        ("study,label,label\n7,1,1\n8,0,0\n", "has 2 columns 'label'"),
    ],
)
def test_a_join_that_does_not_fit(tmp_path: Path, studies: str, said: str) -> None:
    write(tmp_path, views=VIEWS, studies=studies)
    with pytest.raises(InputError, match=said):
        open_cases(tmp_path, table="views.csv", join="studies.csv", group="none")


def test_tables_with_the_same_columns_are_stacked(tmp_path: Path) -> None:
    write(tmp_path, a="file,label,x\n0.png,0,1\n1.png,1,2\n", b="label,file\n1,2.png\n0,3.png\n")
    options: dict[str, Any] = {"table": ("a.csv", "b.csv"), "group": "none"}
    assert labels(open_cases(tmp_path, **options)) == [0, 1, 1, 0]
    with pytest.raises(InputError, match=r"names a column 'x' that a\.csv, b\.csv does not have"):
        open_cases(tmp_path, **options, where="x == 1")


def test_a_table_is_looked_for_beside_the_images_and_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "images", inside="file,label\n0.png,0\n1.png,1\n")
    (tmp_path / "labels").mkdir()
    (tmp_path / "images/inside.csv").replace(tmp_path / "labels/outside.csv")
    monkeypatch.chdir(tmp_path)
    assert len(open_cases("images", table="labels/outside.csv", group="none")) == 2
    with pytest.raises(InputError, match=r"no such table: inside\.csv, neither in images nor"):
        open_cases("images", table="inside.csv", group="none")
    write(tmp_path / "images", inside="file,label\n0.png,0\n1.png,1\n")
    with pytest.raises(InputError, match=r"current folder; did you mean inside\.csv\?"):
        open_cases("images", table="insides.csv", group="none")
    assert len(open_cases("images/inside.csv", group="none")) == 2, "the table itself"
    with pytest.raises(InputError, match="is a table itself"):
        open_cases("images/inside.csv", table="labels/outside.csv", group="none")


def test_packed_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    text = "file\tlabel\n0.png\t0\n1.png\t1\n"
    (tmp_path / "a.tsv.gz").write_bytes(gzip.compress(text.encode()))
    assert labels(open_cases(tmp_path, table="a.tsv.gz", group="none")) == [0, 1]
    assert labels(open_cases(tmp_path / "a.tsv.gz", group="none")) == [0, 1]
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(text.encode())[:-9])
    with pytest.raises(InputError, match="is not a gzip file that can be read"):
        open_cases(tmp_path, table="b.csv.gz", group="none")
    monkeypatch.setattr(table_file, "MOST_BYTES", 1000)
    (tmp_path / "c.csv.gz").write_bytes(gzip.compress(text.encode() * 1000))
    with pytest.raises(InputError, match="unpacks to more than 1000 bytes"):
        open_cases(tmp_path, table="c.csv.gz", group="none")


def test_spreadsheets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openpyxl")
    write(tmp_path)
    place = tmp_path / "a.xlsx"
    frame = pd.DataFrame(
        {
            "file": ["0.png", "1.png", "2.png"],
            "label": [0, 1, None],
            "id": ["9" * 39, "007", "7"],
            "day": pd.to_datetime(["2020-01-01"] * 3),
        }
    )
    frame.to_excel(place, index=False)
    options: dict[str, Any] = {"table": "a.xlsx", "group": "id", "keep_names": True}
    cases = open_cases(tmp_path, **options, blank="exclude")
    assert [(e.label, e.group) for e in cases.entries] == [(0, "9" * 39), (1, "007")]
    with pd.ExcelWriter(place) as writer:
        frame.to_excel(writer, sheet_name="one", index=False)
        frame.to_excel(writer, sheet_name="two", index=False)
    with pytest.raises(InputError, match=r"2 sheets with rows \(one, two\); save the one"):
        open_cases(tmp_path, **options)
    frame.assign(id=[91 * 10**30, 2, 3]).astype({"id": float}).to_excel(place, index=False)
    with pytest.raises(InputError, match="more than 15 digits, which a spreadsheet rounds"):
        open_cases(tmp_path, **options)
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("xl/workbook.xml", "<a")
    with pytest.raises(InputError, match="is not a spreadsheet that can be read"):
        open_cases(tmp_path, **options)
    monkeypatch.setattr(table_file, "MOST_UNPACKED", 1)
    with pytest.raises(InputError, match=r"unpacks to 0 MiB; save the sheet as CSV"):
        open_cases(tmp_path, **options)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(table_file, "MOST_UNPACKED", 1 << 20)
    with pytest.raises(InputError, match=r"pip install 'robust-audit\[xlsx\]' reads it"):
        open_cases(tmp_path, **options)
    place.write_bytes(b"\xd0\xcf\x11\xe0" + b"x" * 99)
    with pytest.raises(InputError, match="is an old Excel file; save it as XLSX or CSV"):
        open_cases(tmp_path, **options)


def test_long_identifiers_keep_their_digits(tmp_path: Path) -> None:
    one, other = "9" * 38 + "1", "9" * 38 + "2"
    write(tmp_path, cases=f"file,label,group,n\n0.png,0,{one},{one}\n1.png,1,{other},{other}\n")
    assert {e.group for e in open_cases(tmp_path, keep_names=True).entries} == {one, other}
    assert len(open_cases(tmp_path, where=f'n == "{one}"')) == 1
    with pytest.raises(InputError, match="write the value in quotes"):
        open_cases(tmp_path, where="n == 7")


def test_numbers_of_patients_compare_both_ways(tmp_path: Path) -> None:
    write(tmp_path, cases="file,label,group\n0.png,0,4\n1.png,1,10\n2.png,1,5\n")
    for where, count in (
        ("group != 4", 2),
        ("group > 4", 2),
        ('group != "4"', 2),
        ("group in [4, 5]", 2),
    ):
        assert len(open_cases(tmp_path, where=where)) == count
    write(tmp_path, cases="file,label,group\n0.png,0,004\n1.png,1,10\n")
    with pytest.raises(InputError, match='holds text, such as "004"; write the value in quotes'):
        open_cases(tmp_path, where="group != 4")


def test_blank_groups(tmp_path: Path) -> None:
    write(tmp_path, cases="file,label,group\n0.png,0,\n1.png,1,p\n2.png,1, p \n3.png,0,NA\n")
    with pytest.raises(InputError, match=r'0\.png has no group; .*blank_group = "own"'):
        open_cases(tmp_path)
    groups = [e.group for e in open_cases(tmp_path, blank_group="own", keep_names=True).entries]
    assert groups[1] == groups[2] == "p" and len(set(groups)) == 3


def test_cells_are_numbers_truths_or_text() -> None:
    assert typed(["1", "2.5", ""]).tolist()[:2] == [1, 2.5]
    assert typed(["1", "2"]).dtype.kind == "i"
    assert typed(["True", "FALSE"]).tolist() == [True, False]
    assert typed(["007", "7"]).tolist() == ["007", "7"]
    assert typed(["1", "x", "NA"]).isna().tolist() == [False, False, True]
    assert typed(["1", "x", "NA", ""], WORDS).isna().tolist() == [False, False, False, True]
    assert typed(["1", "NA"], WORDS).isna().tolist() == [False, True]
    assert typed(["", "NA"]).dtype.kind == "f"


def test_headers_as_they_are_published(tmp_path: Path) -> None:
    """A first column without a name, commas in brackets, blanks around names, commas at the end."""
    write(tmp_path, cases=",file, label ,Size[w,h],\n0,0.png,0,1,2,\n1,1.png,1,1,2,\n")
    assert labels(open_cases(tmp_path, group="none", where="`Size[w` == 1")) == [0, 1]
