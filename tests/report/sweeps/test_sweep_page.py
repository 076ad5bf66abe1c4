"""The page over a sweep: every number with its interval, what voids it, what is missing."""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path

import pytest
from rich.console import Console

from robust.errors import InputError
from robust.records import SweepNumber, SweepReport
from robust.report.formats.html import render_page
from robust.report.layout.blocks import FoldedBlock, TablesBlock
from robust.report.sweeps import print_sweep, render_sweep, write_sweep
from robust.report.sweeps.content import NumberKey, SweepContent
from robust.report.sweeps.differences import judged_differences, largest_difference
from robust.report.sweeps.document import sweep_document
from robust.report.sweeps.figures import MOST_PANELS, curve_figures, panel_figures
from robust.report.sweeps.sentences import curve_sentences, sweep_lead
from robust.report.sweeps.tables import fits_table, report_link, rounded_count, wanted_table
from robust.report.tables.model import Table, row_texts
from tests.report.hostile import NAMES, ElementPage, controls
from tests.report.sweeps.made import EPS, VANISH, WORST, curve, near, not_a_number, sweep


@pytest.fixture(scope="module")
def made() -> SweepReport:
    return sweep()


def tables(report: SweepReport) -> dict[str, Table]:
    found: dict[str, Table] = {}
    for section in sweep_document(report).sections:
        for block in section.blocks:
            if isinstance(block, TablesBlock | FoldedBlock):
                found |= {table.name: table for table in block.tables}
    return found


def lead(report: SweepReport) -> str:
    content = SweepContent(report)
    return " ".join(sweep_lead(content, judged_differences(content)))


def test_the_lead_says_what_was_compared_and_what_is_missing(made: SweepReport) -> None:
    text = lead(made)
    assert text.startswith("17 of 18 models are compared on 200 test images.")
    assert "architecture (small_cnn and resnet18)" in text
    assert "60 % comes from the seed" in text
    assert "small_cnn, train fraction 0.25, seed 0 (training stopped" in text


def test_a_gain_of_a_model_with_masked_gradients_is_no_gain(made: SweepReport) -> None:
    judged = {one.key: one for one in judged_differences(SweepContent(made))}
    results = {key.condition: one.result for key, one in judged.items()}
    assert results[WORST[2]] == f"no verdict: {VANISH} in resnet18"
    assert results[WORST[0]] == "lower"  # what fooled a model was found, whatever its gradients
    assert results[WORST[3]] == "equal on every case"
    largest = largest_difference(judged.values())
    assert largest is not None and largest.key == NumberKey("clean accuracy", "clean")


def test_a_warning_on_the_baseline_voids_a_loss_against_it(made: SweepReport) -> None:
    turned = tuple(
        dataclasses.replace(one, baseline=one.other, other=one.baseline) for one in made.differences
    )
    judged = judged_differences(SweepContent(dataclasses.replace(made, differences=turned)))
    results = {one.key.condition: one.result for one in judged}
    assert results[WORST[0]] == f"no verdict: {VANISH} in resnet18"
    assert results[WORST[2]] == "higher"


def test_what_holm_leaves_is_marked_beside_the_single_intervals(made: SweepReport) -> None:
    rows = row_texts(tables(made)["sweep-differences"].rows)
    marks = {row[0]: (row[3], row[-1]) for row in rows}
    assert marks["clean accuracy"] == ("+8.3 [5.2, 11.4]", "remains")
    assert marks["AUC"] == ("+0.021 [0.002, 0.041]", "does not remain")


def test_rows_are_means_over_the_random_axes(made: SweepReport) -> None:
    table = tables(made)["sweep-models"]
    assert len(table.rows) == 6
    assert row_texts(table.rows)[0][:3] == ["small_cnn", "0.25", "2 of 3"]
    single = tables(made)["sweep-models-single"]
    assert len(single.rows) == 17
    assert single.rows[0].cells[0].link == "./runs/001/report.html"


def test_every_number_of_a_table_has_its_interval(made: SweepReport) -> None:
    for name in ("sweep-models", "sweep-models-single", "sweep-detectors"):
        table = tables(made)[name]
        places = [
            i for i, c in enumerate(table.columns) if "accuracy" in c.title or "AUC" in c.title
        ]
        assert places
        assert all(row.cells[i].interval for row in table.rows for i in places)


def test_a_number_that_is_none_is_left_out(made: SweepReport) -> None:
    name = made.members[1].name
    numbers = tuple(
        dataclasses.replace(one, estimate=not_a_number()) if one.member == name else one
        for one in made.numbers
    )
    broken = dataclasses.replace(made, numbers=numbers)
    assert lead(broken).startswith("16 of 18 models")
    assert ">nan" not in render_page(sweep_document(broken), phone=False).lower()


def test_an_estimate_without_interval_says_so() -> None:
    made = sweep(("small_cnn",), 1, ("1",), failed=False)
    bare = dataclasses.replace(near(0.5), low=None, high=None, groups_needed=30)
    numbers = (SweepNumber(made.members[0].name, "clean accuracy", "clean", bare),)
    found = tables(dataclasses.replace(made, numbers=numbers, differences=()))["sweep-models"]
    assert "†" in row_texts(found.rows)[0][-2]
    assert "about 30 groups" in found.whole_note


@pytest.mark.parametrize("kept", [0, 1])
def test_one_model_or_none_is_a_page(kept: int) -> None:
    made = sweep(("small_cnn",), 1, ("1",), failed=not kept)
    made = dataclasses.replace(made, differences=(), spread=(), curves=())
    text = lead(made)
    assert text.startswith("1 model is shown" if kept else "None of 1 model has a number yet.")
    names = [section.name for section in sweep_document(made).sections]
    assert ("models" in names, "missing" in names) == (bool(kept), not kept)
    assert not {"differences", "spread", "data"} & set(names)
    assert render_sweep(made, "html") and render_sweep(made, "md") and render_sweep(made, "parquet")


def test_a_misfit_stands_beside_the_number_of_images() -> None:
    plain, doubtful = curve_sentences([curve("a"), curve("b", "the points do not fall")])[::2]
    assert plain == "Clean accuracy of a: 90 % is to be expected from 988 [700, no upper end] " + (
        "training images on."
    )
    assert doubtful.endswith("Do not rely on this: the points do not fall.")


def test_what_is_not_decided_is_told_in_a_lower_voice_than_a_misfit() -> None:
    quiet, loud = curve("a", "", "one model a size"), curve("b", "it bends", "one model a size")
    told = curve_sentences([quiet, loud])
    assert told[0].endswith("training images on. Not decided: one model a size.")
    assert "rely" not in told[0] and told[2].endswith("Do not rely on this: it bends.")
    cells = [row.cells[-1].text for row in fits_table([quiet, loud, curve("c")]).rows]
    assert cells == [
        "not decided: one model a size",
        "no: it bends",
        "nothing speaks against it",
    ]
    (figure,) = curve_figures([quiet])
    assert "Dotted" not in figure.caption
    assert "Dotted" in curve_figures([quiet, loud])[0].caption
    remarks = [row.cells[-1].text for row in wanted_table([quiet]).rows]
    assert remarks[0] == "one model a size"


def test_five_hundred_models_are_a_usable_page() -> None:
    made = sweep(tuple(f"net{i}" for i in range(10)), 10, ("0.2", "0.4", "0.6", "0.8", "1"))
    figure = panel_figures(SweepContent(made))[0]
    assert f"The first {MOST_PANELS} of 10 panels" in figure.caption
    assert len(figure.draw().axes) == MOST_PANELS
    found = tables(made)
    assert len(found["sweep-models"].rows) == 50
    assert len(found["sweep-models-single"].rows) == 499
    assert len(render_sweep(made, "md")) < 60_000


def test_hostile_names_stay_text() -> None:
    hostile = tuple(NAMES.values())[:6]
    made = sweep(hostile[:2], 1, ("1",), failed=False)
    axes = (dataclasses.replace(made.axes[0], name=NAMES["handler"]), *made.axes[1:])
    members = tuple(
        dataclasses.replace(
            one,
            levels={NAMES["handler"]: one.levels["architecture"], **one.levels},
            flags=(NAMES["link"],),
            run="runs/a b\"'#?<x>",
        )
        for one in made.members
    )
    made = dataclasses.replace(made, title=NAMES["comment"], axes=axes, members=members)
    page = ElementPage(render_page(sweep_document(made), phone=False))
    assert not controls("".join(page.texts))
    assert len(page.scripts) == 1
    assert "<script>alert" not in render_sweep(made, "md").decode()


@pytest.mark.parametrize("run", ["", "/etc", "../other", "a/../../b"])
def test_only_reports_below_the_sweep_are_linked(run: str) -> None:
    assert report_link(run) == ""


def test_a_link_names_no_scheme() -> None:
    assert report_link("javascript:alert(1)").startswith("./javascript%3A")


def test_files_have_every_number(made: SweepReport, tmp_path: Path) -> None:
    import pandas as pd

    paths = write_sweep(made, tmp_path)
    assert [p.name for p in paths] == ["sweep.html", "sweep.md", "sweep.csv", "sweep.parquet"]
    lines = list(csv.DictReader(io.StringIO((tmp_path / "sweep.csv").read_text("utf-8"))))
    table = pd.read_parquet(tmp_path / "sweep.parquet")
    assert len(lines) == len(table) == len(made.numbers)
    for line, (_, row), number in zip(lines, table.iterrows(), made.numbers, strict=True):
        assert line["member"] == row["member"] == number.member
        assert float(line["low"]) == pytest.approx(row["low"])
        assert row["value"] == number.estimate.value
        assert row["train fraction"] in number.member


def test_an_unknown_format_is_named(made: SweepReport, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no format 'htm'"):
        write_sweep(made, tmp_path, "htm")


def test_the_terminal_shows_what_was_found(made: SweepReport) -> None:
    file = io.StringIO()
    print_sweep(made, Console(file=file, width=200))
    text = file.getvalue()
    assert "17 of 18 models" in text and "+8.3 [5.2, 11.4]" in text and EPS[-1] in text


def test_images_are_counted_with_three_digits() -> None:
    assert [rounded_count(x) for x in (12.1, 988.2, 12345.0)] == ["13", "988", "12,300"]
