"""A report as a table in long form, in a notebook cell, and loaded from a path."""

from __future__ import annotations

import math
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import robust
from robust.errors import InputError
from robust.records import INDEX
from robust.report.long_form import LONG_COLUMNS
from robust.report.text.headline import headline
from tests.records.test_report import report
from tests.report import certified, detected
from tests.report.hostile import MARKUP, ElementPage, hostile_report

PNEUMONIA = Path(__file__).parent.parent.parent / "experiments" / "pneumoniamnist" / "report.json"


def test_every_score_of_every_condition_is_a_row_with_its_interval() -> None:
    made = robust.load_report(PNEUMONIA)
    table = made.to_pandas()
    assert tuple(table.columns) == LONG_COLUMNS
    sections = ("clean", "worst case", "attacks")
    whole = table[table["section"].isin(sections) & (table["subgroup"] == "")]
    for row in (made.clean, *made.rows, *made.worst_cases):
        missing = row.eps is None
        own = whole[(whole["attack"] == row.attack) & (whole["norm"] == row.norm)]
        own = own[own["eps"].isna() if missing else own["eps"] == row.eps]
        after = "" if row.kind == "clean" else "_under_attack"
        (accuracy,) = own[own["measure"] == f"accuracy{after}"].to_dict("records")
        assert row.scores.accuracy is not None
        assert accuracy["value"] == row.scores.accuracy.value and accuracy["kind"] == row.kind
        assert accuracy["low"] == row.scores.accuracy.low
        assert accuracy["groups"] == row.scores.accuracy.groups
        recall = own[own["measure"] == f"recall{after}"].set_index("of")["value"].to_dict()
        assert recall == {name: one.value for name, one in row.scores.recall.items() if one}
        if row.attack == "worst case" and row.scores.robust_accuracy is not None:
            (robust_accuracy,) = own[own["measure"] == "robust_accuracy"].to_dict("records")
            (noise,) = (n for n in made.rows if n.baseline and n.eps == row.eps)
            assert f": {noise.robust_accuracy.value:.9g} [" in robust_accuracy["controls"]
    storage = table[table["section"] == "storage"]
    assert len(storage) == sum(
        getattr(one, name) is not None
        for one in made.survival
        for name in ("computed", "quantised", "adversarially_rounded", "jpeg", "jpeg_clean")
    )


def test_subgroups_detectors_certificates_and_corruptions_are_parts() -> None:
    made = report()
    table = made.to_pandas()
    sex = table[table["subgroup"] == "sex = f"]
    attacked = {"accuracy_under_attack", "robust_accuracy", "recall_under_attack"}
    assert set(sex["measure"]) == {"accuracy", "recall", *attacked}
    assert len(sex) == 3 * len((made.clean, *made.rows, *made.worst_cases))
    nearest = table[table["attack"] == "CarliniWagnerL2"]
    assert all(math.isnan(eps) for eps in nearest["eps"])
    found = detected.many()
    watched = report(detection=found).to_pandas()
    scores = watched[watched["measure"].isin(("detector_paired_auc", "control_paired_auc"))]
    known = [s for s in found.detector_scores if s.paired_auc is not None]
    assert len(scores) == len(known) and set(scores["subject"]) == {s.detector for s in known}
    assert set(scores["kind"]) == {"attack", "noise", "change"}
    fitted = {one for one in scores["fitted_on"] if one}
    assert "PGD, L∞ 1/255" in fitted
    controls = watched[watched["measure"] == "null_control_auc"]
    assert len(controls) == len(found.null_controls)


def test_a_cell_of_a_notebook_shows_lead_verdicts_and_warnings() -> None:
    made = robust.load_report(PNEUMONIA)
    page = ElementPage(made._repr_html_())
    text = " ".join(" ".join(page.texts).replace("\N{NO-BREAK SPACE}", " ").split())
    for sentence in headline(made):
        assert sentence in text
    accuracy = made.worst.robust_accuracy
    assert accuracy.low is not None
    assert f"{100 * accuracy.value:.1f} [{100 * accuracy.low:.1f}, " in text
    assert "after random noise of the same size" in text
    for flag in made.flags:
        assert flag.name in text and flag.remedy in text


def test_a_cell_of_a_notebook_keeps_names_as_text_and_loads_nothing() -> None:
    found: set[str] = set()

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.add(tag)
            assert not {name for name, _ in attrs} & {"src", "href", "onload", "onerror"}

    html = hostile_report()._repr_html_()
    Tags().feed(html)
    assert "script" not in found and {"style", "table", "li"} <= found
    assert "<script" not in html and MARKUP[:8] == "<script>"


def test_a_report_is_loaded_from_a_file_or_a_folder(tmp_path: Path) -> None:
    made = report()
    made.save(tmp_path / "report.json")
    assert robust.load_report(tmp_path) == robust.load_report(tmp_path / "report.json") == made
    with pytest.raises(InputError, match="no report at"):
        robust.load_report(tmp_path / "nothing")
    (tmp_path / "several").mkdir()
    (tmp_path / "several" / INDEX).write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="name the folder of one of them"):
        robust.load_report(tmp_path / "several")


def test_looking_at_a_report_loads_no_torch() -> None:
    code = (
        "import sys, robust; r = robust.load_report(sys.argv[1]); r.to_pandas(); r._repr_html_();"
        "assert 'torch' not in sys.modules and 'pandas' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(PNEUMONIA)], check=True)


def test_certificates_have_both_bounds() -> None:
    table = certified.certified_report().to_pandas()
    own = table[table["section"] == "certificates"]
    bounds = {"certified_accuracy", "left_correct_by_attacks", "certified_function_accuracy"}
    assert bounds <= set(own["measure"])
    assert set(own["kind"]) <= {"network", "smoothed"}
