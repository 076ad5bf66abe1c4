"""Row filters: what they keep, what they refuse, and that nothing in them is ever run."""

from __future__ import annotations

import ast
import io
import random
import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from robust.cases import open_cases
from robust.cases.row_filter import MOST_CHARACTERS, MOST_DEPTH, parse_filter
from robust.errors import InputError
from tests.cases.tables import write_table

ROOT = Path(__file__).parent.parent.parent
TABLE = pd.read_csv(
    io.StringIO(
        """\
age,weight,sex,site,flag,seen,Patient Age,nothing,class
31,70.5,f,north,True,True,31,,a
64,,m,south,False,,64,,b
,80,f,,True,False,40,,c
-5,90,,north,False,True,41,,it's
"""
    )
)


def rows(text: str) -> list[int]:
    return [int(row) for row in parse_filter(text).rows(TABLE).nonzero()[0]]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("age == 31", [0]),
        ("age != 31", [1, 2, 3]),
        ("age > 31 or age < 0", [1, 3]),
        ("31 <= age", [0, 1]),
        ("0 < age <= 64", [0, 1]),
        ("-5 == age", [3]),
        ("age == -5.0", [3]),
        ("age > +3.1e1", [1]),
        ("age < .5", [3]),
        ("age < 1e999", [0, 1, 3]),
        ("age < 99999999999999999999999999", [0, 1, 3]),
        ("age == weight", []),
        ("age < weight", [0, 3]),
        ("age != weight", [0, 1, 2, 3]),
        ("sex == 'f'", [0, 2]),
        ('sex == "f" and site == "north"', [0]),
        ('sex != "f"', [1, 3]),
        ('sex > "f"', [1]),
        ('"f" < sex', [1]),
        ('sex in ["f", "m"]', [0, 1, 2]),
        ("sex in ('m',)", [1]),
        ("sex in ('m')", [1]),
        ("sex not in ['m']", [0, 2, 3]),
        ("not sex in ['m']", [0, 2, 3]),
        ("age in [31, -5.0]", [0, 3]),
        ("flag", [0, 2]),
        ("not flag", [1, 3]),
        ("~flag & ~(age > 0)", [3]),
        ("flag == False", [1, 3]),
        ("flag in [True]", [0, 2]),
        ("flag == seen", [0]),
        ("seen", [0, 3]),
        ("not seen", [1, 2]),
        ("seen != True", [1, 2]),
        ("age is None", [2]),
        ("age is not None", [0, 1, 3]),
        ("nothing is None", [0, 1, 2, 3]),
        ("`Patient Age` >= 40", [1, 2, 3]),
        ("`age` == 31", [0]),
        ("class == 'it\\'s'", [3]),
        ('class == "it\'s"', [3]),
        ("class != '`age`' and class in ['a', \"b\"]", [0, 1]),
        ("age == 31 | age == 64 & sex == 'f'", [0]),
        ("(age == 31 | age == 64) & sex == 'f'", [0]),
        ("not age == 31 and not (sex == 'm' or age < 0)", [2]),
        ("not not flag", [0, 2]),
        ("  age\n==\t31  ", [0]),
        ("(((age))) == (31)", [0]),
        ("(flag)", [0, 2]),
    ],
)
def test_what_a_filter_keeps(text: str, kept: list[int]) -> None:
    assert rows(text) == kept


def test_the_examples_of_the_documentation_are_filters() -> None:
    page = (ROOT / "docs" / "images.md").read_text(encoding="utf-8")
    table = page.partition("| part | examples |")[2].partition("\n\n")[0]
    examples = re.findall(r"(?<!`)`([^`]+)`(?!`)", table.partition("| columns whose")[0])
    examples = [text for text in examples if " " in text]
    assert len(examples) == 10
    for text in [*examples, "`Patient Age` > 40", re.findall(r"where = '(.+ in .+)'", page)[0]]:
        assert parse_filter(text).columns


def test_an_empty_cell_equals_no_value() -> None:
    """It fails every comparison but != and not in, which say the opposite of == and in."""
    missing = 2
    for text in ("age == 1", "age < 9", "age <= 9", "age > 9", "age >= 9", "age in [9]"):
        assert missing not in rows(text)
        assert missing in rows(f"not ({text})")
    for text in ("age != 1", "age not in [1]", "age != weight", "site != 'x'"):
        assert missing in rows(text)


PARTS = ("age == 31", "sex == 'f'", "flag", "site in ['north']", "weight > 75", "age != 64")


@pytest.mark.parametrize("seed", range(30))
def test_a_filter_keeps_what_a_pandas_query_keeps(seed: int) -> None:
    """And, or, not and brackets bind as they do in Python."""
    choice = random.Random(seed)
    text = choice.choice(PARTS)
    for _ in range(6):
        other = choice.choice(PARTS)
        form = choice.choice(["{} and {}", "{} or {}", "({}) and {}", "not ({}) or {}", "{} & {}"])
        text = form.format(text, other)
    expected = TABLE.query(text.replace("flag", "flag == True"), engine="python")
    assert rows(text) == list(expected.index)


HARMFUL = (
    "__import__('os').system('touch canary')",
    "file.__class__.__init__.__globals__['sys'].modules['os'].system('touch canary') != 1",
    "age.to_csv('canary') != 1",
    "`age`.to_csv('canary') != 1",
    "@TABLE.age > 3",
    "@__builtins__",
    "age[0] == 31",
    "[a for a in age]",
    "(lambda: 1)() == 1",
    "f'{age}' == '31'",
    "b'f' == sex",
    "r'f' == sex",
    "(x := 3) == age",
    "age if flag else seen",
    "age + 1 == 32",
    "age - 1 == 30",
    "age ** 9 == 1",
    "9 ** 9 ** 9 ** 9 == age",
    "age.values",
    "sex.str.contains('f')",
    "print(age)",
    "age; import os",
    "age == 31 # 31",
    "age = 31",
    "age == {1}",
    "age == ...",
    "await age",
    "sex == 'f' 'm'",
    "sex == '''f'''",
    "eval",
    "age(31)",
    "index == 0",
)


@pytest.mark.parametrize("text", HARMFUL)
def test_nothing_in_a_filter_is_run(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write_table(tmp_path))
    before = sorted(tmp_path.rglob("*"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match="the filter") as refused:
            open_cases(tmp_path, where=text, split="all")
    assert sorted(tmp_path.rglob("*")) == before
    assert len(str(refused.value)) < 600


def test_no_code_of_ours_evaluates_text() -> None:
    for folder in ("robust", "attacks", "detectors"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            if not re.search(r"\b(eval|exec|compile|query)\b", text):
                continue  # to parse takes a hundred times as long
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Call):
                    called = node.func
                    if isinstance(called, ast.Name):
                        assert called.id not in ("eval", "exec", "compile"), path
                    elif isinstance(called, ast.Attribute):
                        assert called.attr != "query", path
                        # `network.eval()` takes no text.
                        assert called.attr != "eval" or not (node.args or node.keywords), path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty"),
        ("  ", "it is empty"),
        ("age >", "it breaks off"),
        ("(age > 3", "it breaks off"),
        ("age > 3)", r"\) is not expected"),
        ("age == 'f", "a quote is not closed"),
        ("`age == 3", "a backtick is not closed"),
        ("age = 3", "write == to compare"),
        ("age > 3 AND flag", "write and for AND"),
        ("NOT flag", "write not for NOT"),
        ("!flag", "write != or not"),
        ("age == None", "write is None for an empty cell"),
        ("age is 3", "write == to compare"),
        ("age in 31", "in needs a list"),
        ("age in sex", "in needs a list"),
        ("age in [sex]", "a list holds values"),
        ("age in []", "a list is empty"),
        ("age in [31 64]", "64 is not expected"),
        ("31 in age", "a column is needed before in"),
        ("(age > 3) > 4", "conditions are joined by and"),
        ("1 == 1", "compares no column"),
        ("1", "is compared with no column"),
        ("True", "is compared with no column"),
        ("~age == 3", "needs brackets"),
        ("not", "it breaks off"),
        ("and", "and is not expected"),
        (r"class == 'C:\Users'", r"write \\\\ for one"),
        ("age == - flag", "signs of numbers"),
        ("(" * 60 + "flag" + ")" * 60, "more than 50"),
        ("not " * 60 + "flag", "more than 50"),
        ("flag" + " or flag" * 1000, "characters long; at most 4000"),
    ],
)
def test_a_filter_that_has_no_meaning_is_refused(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as refused:
        rows(text)
    assert len(str(refused.value)) < 600


def test_limits_are_reached_without_harm() -> None:
    depth = MOST_DEPTH - 1
    assert rows("(" * depth + "flag" + ")" * depth) == [0, 2]
    assert rows("flag" + " and flag" * ((MOST_CHARACTERS - 4) // 9)) == [0, 2]
    chain = "0 < " + "age < " * 600 + "100"
    assert rows(chain) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sex == 1", r'sex with 1, but it holds text, such as "f"; write the value in quotes'),
        ("sex != 1", "holds text"),
        ("sex > 0", "holds text"),
        ("1 == sex", "holds text"),
        ("sex in ['f', 1]", "holds text"),
        ("age == '31'", r"age with '31', but it holds numbers, such as 31\.0; write a number"),
        ("age in ['31']", "holds numbers"),
        ("age == True", "holds numbers"),
        ("age", "holds numbers"),
        ("flag == 1", r"flag with 1, but it holds True and False.*write True or False"),
        ("flag == 'True'", "holds True and False"),
        ("flag > False", "which are compared by == and !="),
        ("age == sex", "age, which holds numbers, with sex, which holds text"),
        ("nothing == 1", "nothing, which is empty in every row"),
        ("nothing != 'x'", "nothing, which is empty in every row"),
        ("sex == 'None'", "read as an empty cell; write `sex` is None"),
        ("sex != ''", "read as an empty cell"),
        ("sex in ['f', 'NA']", "read as an empty cell"),
    ],
)
def test_a_comparison_of_different_kinds_selects_nothing_in_silence(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        rows(text)


def test_random_texts_end_in_a_filter_or_in_one_line() -> None:
    words = [
        *("age", "sex", "flag", "and", "or", "not", "in", "is", "None", "True", "31", "-", "'f'"),
        *("(", ")", "[", "]", ",", "==", "<", "&", "|", "~", "`Patient Age`", "\\", "'", "@", "\0"),
    ]
    choice = random.Random(0)
    worked = 0
    for _ in range(3000):
        text = " ".join(choice.choices(words, k=choice.randrange(1, 9)))
        try:
            kept = parse_filter(text).rows(TABLE)
        except InputError as error:
            assert re.fullmatch(r"[^\n\0]+", str(error))
        else:
            assert kept.dtype == np.bool_ and kept.shape == (4,)
            worked += 1
    assert worked > 10


def test_a_table_of_many_rows_is_filtered_exactly() -> None:
    numbers = np.arange(1000) + (1 << 53)
    table = pd.DataFrame({"uid": numbers, "half": np.arange(1000) / 2})
    kept = parse_filter(f"uid == {(1 << 53) + 1} or half in [0.5, 2]").rows(table)
    assert list(kept.nonzero()[0]) == [1, 4]
