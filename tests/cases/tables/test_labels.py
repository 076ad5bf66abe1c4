"""Labels of a table: words and numbers, one-hot, findings in a cell or in columns, policies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from robust.cases import Cases, open_cases, open_findings
from robust.errors import InputError
from tests.cases.tables import labels, write_images


def opened(root: Path, header: str, *rows: str, **options: Any) -> Cases:
    """The cases of a table whose rows begin with 0.png, 1.png, ..., each its own group."""
    write_images(root, *(f"{i}.png" for i in range(len(rows))))
    lines = [f"file,{header}", *(f"{i}.png,{row}" for i, row in enumerate(rows))]
    (root / "cases.csv").write_text("\n".join(lines), encoding="utf-8")
    return open_cases(root, group="none", **options)


def test_words_that_mean_nothing_elsewhere_are_classes(tmp_path: Path) -> None:
    cases = opened(tmp_path, "label,site", "None,NA", "NA,None", "Pneumonia,x", "n/a,N/A")
    assert cases.classes == ("NA", "None", "Pneumonia", "n/a")
    sites = open_cases(tmp_path, group="none", subgroups=("site",)).entries
    assert [e.metadata["site"] for e in sites] == ["NA", "None", "x", "N/A"]
    for word in ("NaN", "", "#N/A", "<NA>", "NULL", "null"):
        with pytest.raises(InputError, match=r"1\.png has no label, as 1 of 2 rows"):
            opened(tmp_path, "label", "Pneumonia", word)


def test_the_same_words_are_empty_among_numbers(tmp_path: Path) -> None:
    for word in ("None", "NA", "NaN", ""):
        with pytest.raises(InputError, match="has no label, as 1 of 3 rows"):
            opened(tmp_path, "label", "0", "1.0", word)
        kept = open_cases(tmp_path, group="none", blank="exclude")
        assert labels(kept) == [0, 1] and "1 images without a sure label" in kept.source
        ages = opened(tmp_path, "label,age", "0,30", f"1,{word}", "0,40", subgroups=("age",))
        assert [e.metadata["age"] for e in ages.entries] == ["30", "unknown", "40"]


def test_grades_are_whole_numbers_however_they_are_written(tmp_path: Path) -> None:
    cases = opened(tmp_path, "grade", "0", "1.0", "2.00", "+3", "4e0", "01", label="grade")
    assert labels(cases) == [0, 1, 2, 3, 4, 1] and cases.classes == ("0", "1", "2", "3", "4")
    refer = open_cases(tmp_path, group="none", label="grade", positive=("2", "3.0", "4"))
    assert labels(refer) == [0, 0, 1, 1, 1, 0]
    with pytest.raises(InputError, match="grade holds numbers; positive 'severe' is none"):
        open_cases(tmp_path, group="none", label="grade", positive=("severe",))


def test_a_finding_is_some_of_the_words(tmp_path: Path) -> None:
    cases = opened(tmp_path, "dx", "mel", "nv", "bcc", "nv", label="dx", positive=("mel", "bcc"))
    assert labels(cases) == [1, 0, 1, 0] and cases.findings == (1,)
    named = open_cases(
        tmp_path, group="none", label="dx", positive=("mel",), classes=("benign", "malignant")
    )
    assert named.classes == ("benign", "malignant") and labels(named) == [1, 0, 0, 0]
    part = open_cases(tmp_path, group="none", label="dx", positive=("mel", "scc"))
    assert "no row has the dx scc" in part.source
    for options, said in (
        (
            {"positive": ("mell",)},
            r"dx is 'mell' in no row; did you mean mel\? there are: bcc, mel",
        ),
        ({"positive": ("mel",), "classes": ("a", "b", "c")}, "makes two classes"),
        ({"blank": "maybe"}, "blank must be positive, negative, exclude, not 'maybe'"),
        ({"vote": "most"}, "vote must be majority, any, all"),
        ({"separator": ""}, "separator is empty"),
    ):
        with pytest.raises(InputError, match=said):
            open_cases(tmp_path, group="none", label="dx", **options)


def test_uncertain_and_blank_need_a_policy_that_the_plan_names(tmp_path: Path) -> None:
    rows = ("1.0", "0.0", "-1.0", "", "0", "1")
    for policies, expected in (
        ({"uncertain": "positive", "blank": "negative"}, [1, 0, 1, 0, 0, 1]),
        ({"uncertain": "negative", "blank": "exclude"}, [1, 0, 0, 0, 1]),
        ({"uncertain": "exclude", "blank": "positive"}, [1, 0, 1, 0, 1]),
        ({"uncertain": "exclude", "blank": "exclude"}, [1, 0, 0, 1]),
    ):
        cases = opened(tmp_path, "Edema", *rows, label="Edema", **policies)
        assert labels(cases) == expected and cases.classes == ("no Edema", "Edema")
    for policies, said in (
        (
            {},
            r"Edema -1 is out of range, in 1 of 6 rows, and 1 are empty; .*uncertain = \"positive\"",
        ),
        ({"blank": "negative"}, r"in 1 of 6 rows; .*uncertain = "),
        ({"uncertain": "exclude"}, r"3\.png has no Edema, as 1 of 6 rows.*blank = "),
    ):
        with pytest.raises(InputError, match=said):
            open_cases(tmp_path, group="none", label="Edema", **policies)
    everything = {"uncertain": "exclude", "blank": "exclude"}
    with pytest.raises(InputError, match="every image of split all is left out"):
        opened(tmp_path, "Edema,x", "-1,1", "-1,0", label="Edema", **everything)


def test_policies_of_two_classes_do_not_fit_grades(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r'blank = "negative" needs a finding.*name the finding'):
        opened(tmp_path, "grade", "3", "", "1", label="grade", blank="negative")
    with pytest.raises(InputError, match='uncertain = "positive" needs a finding'):
        opened(tmp_path, "grade", "3", "-1", "1", label="grade", uncertain="positive")
    kept = opened(tmp_path, "grade", "3", "-1", "1", label="grade", uncertain="exclude")
    assert labels(kept) == [3, 1] and len(kept.classes) == 4
    marked = opened(tmp_path, "code", "3", "-1", "1", label="code", positive=("-1",))
    assert labels(marked) == [0, 1, 0]


ONE_HOT = ("1,0,0", "0,1.0,0", "0,0,1", "1.0,0.0,0.0")


def test_one_hot_columns_are_classes(tmp_path: Path) -> None:
    cases = opened(tmp_path, "MEL,NV,BCC", *ONE_HOT, label=("MEL", "NV", "BCC"))
    assert cases.classes == ("MEL", "NV", "BCC") and labels(cases) == [0, 1, 2, 0]
    turned = open_cases(tmp_path, group="none", label="BCC, NV,MEL")
    assert turned.classes == ("BCC", "NV", "MEL") and labels(turned) == [2, 1, 0, 2]
    found = open_cases(tmp_path, group="none")
    assert (
        labels(found) == labels(cases) and "classes from the columns MEL, NV, BCC" in found.source
    )
    skin = open_cases(tmp_path, group="none", label=("MEL", "NV", "BCC"), positive=("MEL", "BCC"))
    assert labels(skin) == [1, 0, 1, 1] and skin.classes == ("not MEL or BCC", "MEL or BCC")


def test_columns_that_are_not_one_hot_ask_for_the_finding(tmp_path: Path) -> None:
    rows = ("1,1,0", "0,0,0", "0,0,1", "1,-1,")
    names = ("A", "B", "C")
    policies: dict[str, Any] = {"uncertain": "exclude", "blank": "negative"}
    with pytest.raises(
        InputError, match=r"of 4 rows 1 have several of the 3 label columns and 1 have none"
    ):
        opened(tmp_path, "A,B,C", *rows, label=names, **policies)
    found = open_findings(tmp_path, group="none", label=names, **policies)
    assert {name: labels(cases) for name, cases in found.items()} == {
        "A": [1, 0, 0, 1],
        "B": [1, 0, 0],
        "C": [0, 0, 1, 0],
    }
    ids = [e.id for e in found["A"].entries]
    assert [e.id for e in found["B"].entries] == ids[:3], "the unsure one is missing"
    either = open_cases(tmp_path, group="none", label=names, positive=("B", "C"), **policies)
    assert labels(either) == [1, 0, 1], "-1 and a blank that is negative are not sure"
    for options, said in (
        ({"positive": ("D",)}, "positive 'D' is none of the label columns"),
        ({"separator": "|"}, "separator is for one label column"),
        ({"label": ("A", "D")}, "no label column 'D'"),
    ):
        with pytest.raises(InputError, match=said):
            open_cases(tmp_path, group="none", **{"label": names, **policies, **options})
    with pytest.raises(InputError, match="A holds 'x'; of several label columns"):
        opened(tmp_path, "A,B", "x,0", "0,1", label=("A", "B"))
    with pytest.raises(InputError, match=r"\[data\] label is empty; name a column"):
        open_cases(tmp_path, group="none", label="")
    with pytest.raises(InputError, match="A holds '2'; of several label columns each holds 1, 0"):
        opened(tmp_path, "A,B", "2,0", "0,1", label=("A", "B"))


@pytest.mark.parametrize(
    ("separator", "cells"),
    [
        ("|", ("Mass|Edema", "Edema", "No Finding", " Mass | Edema |")),
        (";", ("Mass;Edema", "Edema", "No Finding", "Mass; Edema")),
        ("\uff0c", ("Mass\uff0cEdema", "Edema", "No Finding", "Mass\uff0c Edema")),
        (
            "list",
            ("\"['Mass', 'Edema']\"", "['Edema']", '"[""No Finding""]"', "[' Mass' 'Edema ']"),
        ),
    ],
)
def test_several_findings_in_one_cell(
    tmp_path: Path, separator: str, cells: tuple[str, ...]
) -> None:
    cases = opened(tmp_path, "label", *cells, separator=separator, positive=("Mass",))
    assert labels(cases) == [1, 0, 0, 1] and cases.classes == ("no Mass", "Mass")
    found = open_findings(tmp_path, group="none", separator=separator)
    assert list(found) == ["Edema", "Mass", "No Finding"]
    assert labels(found["Edema"]) == [1, 1, 0, 1]
    with pytest.raises(InputError, match="holds several values in 2 of 4 rows; name the finding"):
        open_cases(tmp_path, group="none", separator=separator)
    for positive in ((), ("Edema",)):
        with pytest.raises(
            InputError, match=r"holds several values in one cell, such as .*separator"
        ):
            open_cases(tmp_path, group="none", positive=positive)


def test_a_cell_without_values_is_blank(tmp_path: Path) -> None:
    rows = ("['a', 'b']", "[]", "", "['']")
    quoted = [f'"{row}"' for row in rows]
    with pytest.raises(InputError, match=r"1\.png has no label, as 3 of 4 rows"):
        opened(tmp_path, "label", *quoted, separator="list", positive=("a",))
    cases = open_cases(tmp_path, group="none", separator="list", positive=("a",), blank="negative")
    assert labels(cases) == [1, 0, 0, 0]
    with pytest.raises(InputError, match="which is no list as Python writes it"):
        opened(tmp_path, "label", '"[1, 2]"', "['a']", separator="list", positive=("a",))


def test_a_comma_inside_a_class_is_no_separator(tmp_path: Path) -> None:
    cases = opened(tmp_path, "label", '"Pneumonia, viral"', "Pneumonia", '"[a]"', "a/b")
    assert len(cases.classes) == 4
    named = opened(tmp_path, "label", "a|b", "a", classes=("a", "a|b"))
    assert named.classes == ("a", "a|b")


def test_a_table_asks_where_it_has_several_columns(tmp_path: Path) -> None:
    header = "Pneumonia,Edema,age"
    with pytest.raises(
        InputError,
        match=r"no label column 'label'; name the label: --label.*there are: Pneumonia, Edema, age",
    ):
        opened(tmp_path, header, "1,0,3", "0,1,4")
    only = opened(tmp_path, "diagnosis", "1", "0")
    assert "labels from column diagnosis" in only.source and labels(only) == [1, 0]
    sexes = opened(tmp_path, "male,female", "1,0", "0,1", label="male")
    assert labels(sexes) == [1, 0]
    with pytest.raises(InputError, match="there are: male, female"):
        open_cases(tmp_path, group="none")


def test_findings_need_labels_of_several(tmp_path: Path) -> None:
    opened(tmp_path, "label", "a", "b")
    assert set(open_findings(tmp_path, group="none")) == {"a", "b"}
    assert set(open_findings(tmp_path, "b", group="none")) == {"b"}
    with pytest.raises(InputError, match="has no finding 'c'; there are: a, b"):
        open_findings(tmp_path, ("b", "c"), group="none")
    write_images(tmp_path / "folders", "x/0.png", "y/1.png")
    with pytest.raises(InputError, match="has one label for each image"):
        open_findings(tmp_path / "folders", group="none")
