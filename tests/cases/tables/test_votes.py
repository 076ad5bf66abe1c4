"""Several rows of one image: they agree, or readers vote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from robust.cases import Cases, open_cases
from robust.errors import InputError
from tests.cases.tables import labels, write_images

# Two images, three readers each. Of a.png R1 and R2 say mass, of b.png R1 alone, in two rows.
ROWS = """\
a,R1,mass
a,R1,nodule
a,R2,mass
a,R3,none
b,R1,mass
b,R1,mass
b,R2,nodule
b,R3,none
"""


def opened(
    root: Path, text: str = ROWS, header: str = "file,reader,label", **options: Any
) -> Cases:
    write_images(root, "a.png", "b.png")
    (root / "cases.csv").write_text(f"{header}\n{text}")
    return open_cases(root, **{"group": "none", **options})


@pytest.mark.parametrize(
    ("vote", "expected"), [("majority", [1, 0]), ("any", [1, 1]), ("all", [0, 0])]
)
def test_readers_vote_on_a_finding(tmp_path: Path, vote: str, expected: list[int]) -> None:
    options: dict[str, Any] = {"reader": "reader", "vote": vote, "positive": ("mass",)}
    assert labels(opened(tmp_path, **options)) == expected
    turned = "\n".join(reversed(ROWS.splitlines()))
    assert labels(opened(tmp_path, turned, **options)) == expected[::-1], "b stands first"


def test_without_a_reader_each_row_votes(tmp_path: Path) -> None:
    # 2 of 4 rows of each image say mass, which is no majority.
    for vote, expected in (("majority", [0, 0]), ("any", [1, 1]), ("all", [0, 0])):
        assert labels(opened(tmp_path, vote=vote, positive=("mass",))) == expected


def test_rows_that_agree_are_one(tmp_path: Path) -> None:
    boxes = "a,0,1\na,0,2\nb,1,3\n"
    cases = opened(tmp_path, boxes, "file,label,x")
    assert labels(cases) == [0, 1] and len(cases) == 2
    with pytest.raises(InputError, match=r"names a\.png twice, with other labels \(1 of 2 images"):
        opened(tmp_path, "a,0,1\na,1,2\nb,1,3\n", "file,label,x")


def test_rows_that_disagree_name_the_vote(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r'names a\.png 4 times.*\(2 of 2 .*vote = "majority", "any"'
    ):
        opened(tmp_path, positive=("mass",))
    with pytest.raises(InputError, match=r'with other labels.*vote = "majority"'):
        opened(tmp_path, positive=("mass",), reader="reader")
    with pytest.raises(InputError, match='vote = "any" speaks of one finding'):
        opened(tmp_path, vote="any")
    with pytest.raises(InputError, match="no reader column 'raeder'; did you mean reader"):
        opened(tmp_path, vote="any", reader="raeder", positive=("mass",))


def test_grades_of_several_readers_go_to_the_most(tmp_path: Path) -> None:
    grades = "a,R1,2\na,R2,2\na,R3,4\nb,R1,0\nb,R2,0\nb,R3,0\n"
    options: dict[str, Any] = {"reader": "reader", "vote": "majority"}
    assert labels(opened(tmp_path, grades, **options)) == [2, 0]
    with pytest.raises(InputError, match="as many votes stand against each other"):
        opened(tmp_path, grades.replace("a,R2,2", "a,R2,3"), **options)


def test_an_unsure_reader_has_no_vote(tmp_path: Path) -> None:
    rows = "a,R1,1\na,R2,-1\na,R3,0\na,R4,1\nb,R1,-1\nb,R2,-1\nb,R3,0\n"
    options: dict[str, Any] = {"reader": "reader", "vote": "majority", "uncertain": "exclude"}
    assert labels(opened(tmp_path, rows, **options)) == [1, 0]
    assert len(opened(tmp_path, rows.replace("b,R3,0", "b,R3,-1"), **options)) == 1


def test_rows_of_an_image_agree_on_group_split_and_subgroup(tmp_path: Path) -> None:
    header = "file,label,group,split,site"
    same = "a,1,p,test,n\na,1,p,test,n\nb,0,q,test,n\n"
    options: dict[str, Any] = {"group": None, "subgroups": ("site",)}
    assert len(opened(tmp_path, same, header, **options)) == 2
    for other, what in (
        ("a,1,r,test,n", "group"),
        ("a,1,p,train,n", "split"),
        ("a,1,p,test,s", "site"),
    ):
        text = same.replace("a,1,p,test,n\nb", f"{other}\nb")
        with pytest.raises(
            InputError, match=f"a.png twice, with another {what}|more than one split"
        ):
            opened(tmp_path, text, header, **options)
