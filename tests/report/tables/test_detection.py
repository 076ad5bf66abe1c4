"""Tables of detectors: each cell is marked, shaded and points at its number."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import pytest

from robust.records import Detection, DetectorScore, ImageSet, Report
from robust.report.formats.html import render_html
from robust.report.text.format import NONE
from robust.units import eps_text
from tests.report.detected import ATTACKS, cells_of, detection, evaded, many, report_on
from tests.report.pages import NUMBER, ORDERS, NumberPage, at, known_numbers

EMPTY = ImageSet("attack", "CW", "Linf", 1 / 255, 0, "no attack succeeded")


APART = ImageSet("attack", "CW", "Linf", 2 / 255, 4, "its 4 successes lie in one fold")


@cache
def pages(template: str) -> tuple[Report, str]:
    """A page made once: by the first template the largest, by the others a small one undrawn.

    The templates have the same tables in another order.
    """
    if template == "standard":
        shown = report_on(many(), drawn=True)
        return shown, render_html(shown)
    shown = report_on(evaded(detection()))
    return shown, render_html(shown, ORDERS[template], phone=False)


def test_cells_are_marked_shaded_and_framed_for_what_they_are() -> None:
    shown = report_on()
    found = shown.detection
    assert found is not None
    kinds = {"above": 0, "below": 0, "few": 0, "framed": 0}
    page = render_html(shown, phone=False)
    for number, name in enumerate(found.detectors):
        lines = cells_of(page, f"table-heat-{number}")
        fits = [None] if name == "MaxSoftmax" else range(len(ATTACKS))
        assert len(lines) == len(list(fits))
        for fitted, (head, *cells, null) in zip(fits, lines):
            assert head[1] == ("no attack" if fitted is None else f"{label(found, fitted)}")
            assert re.fullmatch(r"0\.\d\d \[0\.\d\d, 0\.\d\d\]", null[1])
            assert len(cells) == len(found.image_sets)
            for place, (kind, text) in enumerate(cells):
                own = only(found, name, fitted, place)
                assert own.paired_auc is not None
                value = own.paired_auc.value
                assert text.startswith(f"{value:.2f}{'*' * own.too_few} [")
                side = "" if own.too_few else "below" if value < 0.5 else "above"
                assert kind.split() == [s for s in (side, "framed" * (fitted == place)) if s]
                kinds["few"] += own.too_few
                kinds["framed"] += fitted == place
                if side:
                    kinds[side] += 1
    assert min(kinds.values()) > 3, kinds


def label(found: Detection, place: int) -> str:
    shown = found.image_sets[place]
    return f"{shown.name} {eps_text(shown.eps, shown.norm)}"


def only(found: Detection, detector: str, fitted: int | None, shown: int) -> DetectorScore:
    (own,) = [
        s
        for s in found.detector_scores
        if (s.detector, s.fitted_on, s.image_set) == (detector, fitted, shown)
    ]
    return own


def test_an_attack_without_success_is_empty_with_its_reason() -> None:
    shown = report_on(detection(attacks=[*ATTACKS, EMPTY, APART]))
    reason = "CW 1/255 (no attack succeeded); CW 2/255 (its 4 successes lie in one fold)"
    page = render_html(shown, phone=False)
    assert page.count(f"No detector could be fitted on {reason}.") == 5
    lines = {row[0][1]: row for row in cells_of(page, "table-heat-0")}
    assert [text for _, text in lines["CW 1/255"][1:]] == [NONE] * (len(lines["CW 1/255"]) - 1)
    assert lines["PGD 1/255"][5][1] == NONE and lines["PGD 1/255"][6][1][0] == "0"
    for row in cells_of(page, "table-heat-matched")[:3]:
        assert row[5][1] == row[6][1] == NONE


@pytest.mark.parametrize("template", ORDERS)
def test_each_cell_points_at_its_number(template: str) -> None:
    shown, html = pages(template)
    raw = json.loads(shown.to_json())
    named = [(p, t) for p, t in NumberPage(html).named if p.startswith("/detection")]
    assert len(named) > (3600 if template == "standard" else 240)
    for path, text in named:
        found = at(raw, path)
        digits = 3 if re.match(r"\d\.\d{3}", text) else 2
        scale, digits = (1, digits) if path.endswith("auc") else (100, 1)
        value, low, high = (f"{scale * found[k]:.{digits}f}" for k in ("value", "low", "high"))
        own = at(raw, "/".join(path.split("/")[:4]))
        mark = "*" if own.get("too_few") else "!" if own.get("alarm") else ""
        assert text == f"{value}{mark} [{low}, {high}]", path


def test_the_summary_points_at_the_fitting_on_the_key_attack() -> None:
    shown = report_on()
    found = shown.detection
    assert found is not None and found.key_attack is not None
    html = render_html(shown, phone=False)
    table = html[
        html.index('id="table-detectors"') : html.index('aria-label="Table: Each detector, fitted')
    ]
    lines = re.findall(r"<bdi>(\w+)</bdi>(.*?)</tr>", table[table.index("<tbody>") :], re.S)
    assert [name for name, _ in lines] == list(found.detectors)
    for name, line in lines:
        paired, auc, control, at1, at5, at10, null, noise, change = re.findall(
            r'data-path="(.*?)"', line
        )
        place = found.detector_scores.index(
            only(found, name, None if name == "MaxSoftmax" else 1, 1)
        )
        own = f"/detection/detector_scores/{place}"
        assert [paired, auc, control, at1, at5, at10] == [
            *(f"{own}/{name}" for name in ("paired_auc", "auc", "selection_auc")),
            *(f"{own}/detection_rates/{s}" for s in ("0.01", "0.05", "0.1")),
        ]
        assert found.null_controls[int(null.split("/")[3])] is found.null_control(name)
        beside = found.detector_scores[int(noise.split("/")[3])]
        assert found.image_sets[beside.image_set].kind == "noise"
        assert found.image_sets[beside.image_set].eps == found.image_sets[found.key_attack].eps
        assert beside.fitted_on == found.detector_scores[place].fitted_on
        flagged = found.detector_scores[int(change.split("/")[3])]
        rates = [
            e.value
            for s in found.detector_scores
            if s.detector == name and s.fitted_on == flagged.fitted_on
            if found.image_sets[s.image_set].kind == "change" and (e := s.detection_rates["0.05"])
        ]
        worst = flagged.detection_rates["0.05"]
        assert worst and worst.value == max(rates) and len(rates) == 4
        assert found.image_sets[flagged.image_set].name in line


@pytest.mark.parametrize("template", ORDERS)
def test_no_number_stands_there_that_report_json_has_not(template: str, tmp_path: Path) -> None:
    shown, html = pages(template)
    shown.save(tmp_path / "report.json")
    allowed = known_numbers(tmp_path)
    own = html[
        html.index(
            "Can attacks be" if template == "standard" else "Against the unmodified images"
        ) :
    ]
    numbers = {n for text in NumberPage(own).text for n in NUMBER.findall(text)}
    assert len(numbers) > (200 if template == "standard" else 120)
    assert numbers <= allowed, sorted(numbers - allowed)


def test_the_page_stays_small() -> None:
    assert len(pages("standard")[1].encode()) < 3_000_000
