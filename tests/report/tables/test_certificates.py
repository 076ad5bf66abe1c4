"""Tables and figures of certificates, corruptions and calibration: every number at its place."""

from __future__ import annotations

import dataclasses
import json
from io import StringIO
from typing import Any

import numpy as np
import pandas as pd
import pytest

from robust.errors import InputError
from robust.records import Report
from robust.report.figures.certificates import certificate_figures
from robust.report.figures.corruptions import corruption_figures
from robust.report.figures.every import report_figures
from robust.report.formats.csv_tables import certified_csv, corrupted_csv
from robust.report.formats.html import render_html
from robust.report.formats.latex import render_latex
from robust.report.formats.markdown import render_markdown
from robust.report.tables.calibration import calibration_table
from robust.report.tables.certificates import certificate_table, certified_table
from robust.report.tables.corruptions import corruption_size_table, kind_table, severity_table
from tests.records.test_report import report
from tests.report.certified import bounds, certified_report, corruptions, share, smoothing
from tests.report.outlined import outline_report
from tests.report.pages import ORDERS, NumberPage, at


@pytest.fixture(scope="module")
def shown() -> Report:
    made = certified_report()
    scores = dataclasses.replace(
        made.clean.scores, ece=share(0.3), ece_chance=0.052, brier=share(0.214)
    )
    worst = tuple(
        dataclasses.replace(row, scores=dataclasses.replace(row.scores, ece=share(0.6)))
        for row in made.worst_cases
    )
    clean = dataclasses.replace(made.clean, scores=scores)
    return dataclasses.replace(made, clean=clean, worst_cases=worst)


def test_each_cell_shows_what_report_json_has_at_its_place(shown: Report) -> None:
    raw = json.loads(shown.to_json())
    page = NumberPage(render_html(shown, phone=False))
    named = [(p, t) for p, t in page.named if p.startswith(("/certificates", "/corruptions"))]
    named += [(p, t) for p, t in page.named if p.endswith(("/ece", "/brier"))]
    assert len(named) > 300
    for path, text in named:
        found = at(raw, path)
        if isinstance(found, int):
            assert text == str(found), path
        elif isinstance(found, float):
            assert text == f"L∞ {found * 255:g}/255", path
        else:
            digits, scale = 1, 100
            if "median" in path or path.endswith("brier"):
                digits, scale = 2 if "l2" in path or "/255" in text else 3, 1
                scale = 255 if "/255" in text else 1
            value, low, high = (f"{scale * found[k]:.{digits}f}" for k in ("value", "low", "high"))
            assert text.replace("/255", "") == f"{value} [{low}, {high}]", path


def test_every_format_has_both_sides(shown: Report) -> None:
    for order in ORDERS.values():
        text = render_markdown(shown, order)
        for said in (
            "59.0 [49.0, 69.0] | 83.0 [73.0, 93.0]",
            "bias\\_field",
            "| 60.0 [50.0, 70.0]",
        ):
            assert said in text
    latex = render_latex(shown)
    for name in ("certified", "certificates", "heat-corruptions", "corruptions", "calibration"):
        assert rf"\label{{tab:robust-{name}}}" in latex


def test_a_report_without_them_has_neither_section_nor_term() -> None:
    for page in (render_markdown(report()), render_html(report(), phone=False)):
        for absent in ("What is proven", "Corrupted images", "Calibration", "rBE", "Brier"):
            assert absent not in page
    assert not certified_table(report()).rows and not kind_table(report()).rows
    assert not severity_table(report()).rows and not corruption_size_table(report()).rows
    assert not calibration_table(report()).rows


def test_tables_mark_a_crossing_and_say_what_chance_explains() -> None:
    crossed = certified_report(certificates=(bounds(crossings=2), smoothing()))
    calculated, drawn = certificate_table(crossed).rows
    assert calculated.strong and not drawn.strong
    assert calculated.cells[-1].text == "2 of 61"
    assert drawn.cells[-1].text == "1 of 70 (chance: up to 1)"


def test_the_shade_of_a_corruption_is_what_it_adds() -> None:
    row = severity_table(certified_report()).rows[2]
    assert row.cells[0].text == "gaussian_noise"
    assert [cell.heat for cell in row.cells[1:]] == pytest.approx(
        [-0.17 * 0.88 * severity for severity in (1, 2, 3, 4, 5)]
    )


def test_notes_stand_below_the_kinds_and_outlines_speak_of_dice() -> None:
    assert "pixelate: severities are not monotone" in kind_table(certified_report()).note
    outlined = dataclasses.replace(outline_report(), corruptions=corruptions())
    assert kind_table(outlined).columns[2].title == "1 - mean Dice, mean %"


def test_the_curve_lies_below_what_is_proven_at_every_size() -> None:
    """A case proven up to a radius counts up to it: between two radii the next one's share."""
    (figure,) = certificate_figures(report(certificates=(smoothing(),)))
    (axes,) = figure.draw().axes
    lines = {line.get_label(): line.get_xydata() for line in axes.get_lines()}
    proven, left = lines["proven"], lines["left by attacks"]
    one = smoothing()
    for eps in (0.01, 0.051, 0.31, 0.94, 0.96, 1.0):
        held = proven[np.searchsorted(proven[:, 0], eps, side="right") - 1, 1]
        bound = [e.value for r, e in zip(one.radii, one.certified, strict=True) if r >= eps]
        assert held == pytest.approx(100 * bound[0] if bound else 0)
    for eps, value in ((0.1, 77), (0.26, 72), (0.6, 66), (0.9, 55)):
        assert left[np.searchsorted(left[:, 0], eps, side="right") - 1, 1] == pytest.approx(value)
    assert "nobody knows" in [text.get_text() for text in axes.texts]


def test_without_attacks_the_share_without_attack_bounds_the_unknown() -> None:
    points = tuple(dataclasses.replace(p, attacked=None) for p in smoothing().points)
    (figure,) = certificate_figures(report(certificates=(smoothing(points=points),)))
    (axes,) = figure.draw().axes
    lines = {line.get_label(): line.get_ydata() for line in axes.get_lines()}
    assert "left by attacks" not in lines and set(lines["without attack"]) == {77.0}
    assert "no attack on it was run" in figure.caption


def test_a_proof_of_nothing_is_drawn(shown: Report) -> None:
    nothing = bounds(radii=(0.0,), certified=(share(0.0),), points=())
    assert "reports no size" in render_markdown(report(certificates=(nothing,)))
    (figure,) = certificate_figures(report(certificates=(nothing,)))
    assert figure.svg(narrow=True)


def test_figures_stand_among_all_and_show_every_kind(shown: Report) -> None:
    names = [figure.name for figure in report_figures(shown)]
    assert {"certified-accuracy-1", "certified-accuracy-2", "corruptions"} <= set(names)
    (figure,) = corruption_figures(shown)
    panels = figure.draw().axes
    assert [axes.get_title() for axes in panels] == [
        *("digital", "noise", "blur", "colour", "task", "scanner")
    ]
    kinds = {line.get_label() for axes in panels for line in axes.get_lines()}
    assert len(kinds) == 12 and figure.svg(narrow=True)


def test_csv_has_every_point_and_every_severity() -> None:
    table = pd.read_csv(StringIO(certified_csv(certified_report())))
    assert len(table) == 3 + 29 + 3 + 20
    first = table.iloc[0]
    assert (first.certificate, first.of) == ("IntervalBounds", "eps")
    assert (first.certified, first.attacked, first.attacked_high) == (0.59, 0.83, 0.93)
    spoiled = pd.read_csv(StringIO(corrupted_csv(corruptions())))
    assert len(spoiled) == 1 + 55 and spoiled.severity[0] == 0 and spoiled.error[0] == 0.1
    assert list(spoiled.family[1:6]) == ["digital"] * 5 and spoiled.reference.notna().all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"radii": (0.0, 0.1)}, "another number of radii"),
        ({"radii": (), "certified": ()}, "another number of radii"),
        ({"radii": (0.0, 0.2, 0.1), "certified": (share(0.5),) * 3}, "do not ascend"),
        ({"radii": (0.1,), "certified": (share(0.5),)}, "does not begin at 0"),
        ({"norm": "L7"}, "unknown norm"),
    ],
)
def test_a_report_whose_curve_cannot_be_drawn_is_refused(change: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        Report.from_json(certified_report(certificates=(bounds(**change),)).to_json())


def test_a_report_whose_corruptions_do_not_fit_together_is_refused() -> None:
    kinds = corruptions().kinds[1:]
    for wrong, said in (
        (corruptions(kinds=kinds), "is of no kind"),
        (_severe(), "severity that is none"),
    ):
        with pytest.raises(InputError, match=said):
            Report.from_json(report(corruptions=wrong).to_json())


def _severe() -> Any:
    first, *others = corruptions().scores
    return corruptions(scores=(dataclasses.replace(first, severity=6), *others))
