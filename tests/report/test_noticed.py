"""What a report says of detectors: no more than was seen, and each number where it belongs."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from rich.console import Console

from robust.plan.load import make_plan
from robust.records import Detection, DetectorScore, Estimate, ImageSet, Report, Timings
from robust.report import write_report
from robust.report.figures.accuracy import accuracy_figures
from robust.report.formats import latex
from robust.report.formats.html import render_html
from robust.report.formats.json_schema import PUBLISHED
from robust.report.formats.latex import render_latex
from robust.report.formats.markdown import render_markdown
from robust.report.formats.terminal import print_report
from robust.report.layout.regulatory import regulatory
from robust.report.text import detection as noticed
from robust.report.text import format as words
from robust.report.text.headline import headline
from robust.report.text.reproduce import plan_toml
from tests.report import test_names, test_truth
from tests.report.detected import ATTACKS, STRENGTHS, detection, many
from tests.report.test_names import NAMES
from tests.report.test_truth import NUMBER, ORDERS, at, known_numbers
from tests.test_records import report

EMPTY = ImageSet("attack", "CW", "Linf", 1 / 255, 0, "no attack succeeded")
APART = ImageSet("attack", "CW", "Linf", 2 / 255, 4, "its 4 successes lie in one fold")
TIMED = Timings(1.0, {"PGD": 1.0})


def made(found: Detection | None = None, *, drawn: bool = False, **changes: Any) -> Report:
    """A report on a detection, without its figures unless they are asked for."""
    found = found or detection()
    bare = found if drawn else dataclasses.replace(found, score_curves=(), feature_maps=())
    return report(detection=bare, timings=TIMED, **changes)


def key_changed(**changes: Any) -> Detection:
    """Sightings of LID at the key attack, changed."""
    found = detection()
    sightings = tuple(
        dataclasses.replace(s, **changes)
        if s.detector == "LID" and s.image_set == found.key_attack
        else s
        for s in found.detector_scores
    )
    return dataclasses.replace(found, detector_scores=sightings)


def rate(value: float, low: float, high: float) -> Estimate:
    return Estimate(value, low, high, 61, 30)


def said_of(name: str, found: Detection) -> str:
    (sentence,) = [s for s in noticed.sentences(found) if name in s]
    return sentence


@cache
def pages(template: str) -> tuple[Report, str]:
    """The largest page, made once."""
    return large(), render_html(large(), ORDERS[template])


@cache
def large() -> Report:
    return made(many(), drawn=True)


def test_a_sentence_says_what_is_seen_at_one_false_alarm_in_twenty() -> None:
    seen = {"0.01": None, "0.05": rate(0.612, 0.548, 0.671), "0.1": None}
    found = key_changed(auc=rate(0.8, 0.7, 0.9), detection_rates=seen)
    null = found.null_control("LID")
    assert null is not None
    assert said_of("LID", found) == (
        "At one false alarm in twenty, LID sees 61 % [55, 67] of PGD images at 1/255; its null "
        f"control is {noticed.auc_text(null.auc)}."
    )


HONEST = {
    "below a coin": (
        {"auc": rate(0.31, 0.25, 0.37)},
        "which look more harmless to it than clean ones (AUC 0.31 [0.25, 0.37])",
    ),
    "a coin": (
        {"auc": rate(0.53, 0.48, 0.58)},
        "which it tells from clean ones no better than a coin (AUC 0.53 [0.48, 0.58])",
    ),
    "as of clean ones": (
        {"auc": rate(0.62, 0.55, 0.68), "detection_rates": {"0.05": rate(0.03, 0.0, 0.08)}},
        "LID sees 3 % [0, 8] of PGD images at 1/255, no more than it flags of clean ones; its",
    ),
    "perhaps as of clean ones": (
        {"auc": rate(0.62, 0.55, 0.68), "detection_rates": {"0.05": rate(0.09, 0.04, 0.15)}},
        "LID sees 9 % [4, 15] of PGD images at 1/255, perhaps no more than it flags of clean ones;",
    ),
    "few": ({"too_few": True}, "LID gets no verdict: it was shown no more than 61 PGD images"),
    "no threshold": (
        {"detection_rates": {"0.05": None}},
        "LID sees at one false alarm in twenty is unknown",
    ),
    "no number": ({"auc": None}, "LID has no number on PGD images at 1/255: it was not fitted"),
}


@pytest.mark.parametrize("name", HONEST)
def test_a_sentence_claims_no_more_than_was_seen(name: str) -> None:
    changes, expected = HONEST[name]
    sentence = said_of("LID", key_changed(**changes))
    assert expected in sentence
    if name in ("few", "no number"):
        assert "%" not in sentence and "AUC" not in sentence
    assert all("LID" not in s for s in noticed.sentences(key_changed(**changes)) if s != sentence)


def test_without_a_key_there_is_one_sentence_and_its_reason() -> None:
    found = detection(attacks=[EMPTY], key=None)
    assert noticed.sentences(found) == ("No detector could be judged: no attack succeeded.",)
    assert headline(made(found))[-1].endswith("unknown: no detector could be judged.")
    for order in ORDERS.values():
        page = render_html(made(found), order)
        assert "No detector could be judged: no attack succeeded." in page
        assert 'id="table-noticed"' not in page and "detectors-roc" not in page


def test_an_attack_that_nothing_could_be_fitted_on() -> None:
    found = detection(attacks=[*ATTACKS, APART], key=4)
    sentence = said_of("LID", dataclasses.replace(found, key_attack=4))
    assert sentence == ("LID has no number on CW images at 2/255: its 4 successes lie in one fold.")


def test_a_null_alarm_opens_every_format_and_its_detector_gets_no_figure() -> None:
    loud = made(detection(alarms=["LID"]))
    opening = "Do not believe what this report says of LID: where there was nothing to find"
    assert headline(loud)[0].startswith(opening)
    null = loud.detection and loud.detection.null_control("LID")
    assert null and f"({null.auc.value:.2f} [" in headline(loud)[0]
    for order in ORDERS.values():
        assert re.search(rf'aria-label="Summary">\s*<p>{opening}', render_html(loud, order))
        title, _, lead = render_markdown(loud, order).split("\n\n")[:3]
        assert title.startswith("# ") and lead.startswith(opening)
    shown = terminal(loud)
    assert " ".join(shown.splitlines()[1:3]).startswith(opening)
    found = loud.detection
    assert found is not None
    assert said_of("LID", found).startswith("LID is not to be believed: its null control is 0.62")
    assert "3 detectors see" in headline(loud)[-1]
    page = render_html(loud)
    (line,) = [row for row in cells_of(page, "table-noticed") if row[0][1].startswith("LID")]
    assert line[0][1] == "LID!" and "!" in line[5][1]
    heat = [row for row in cells_of(page, "table-heat-matched") if row[0][1].startswith("LID")]
    assert heat and not any("above" in kind or "below" in kind for kind, _ in heat[0])
    assert opening in "".join(
        str(b) for s in regulatory(loud) if s.name == "risk" for b in s.blocks
    )


def test_two_loud_detectors_are_named_and_three_more_counted() -> None:
    names = dict.fromkeys(("A1", "B2", "C3", "D4", "E5"), 1.0)
    assert noticed.alarm(detection(names)) == ()
    assert "says of A1 and B2:" in noticed.alarm(detection(names, alarms=["A1", "B2"]))[0]
    assert "says of A1, B2 and 3 more:" in noticed.alarm(detection(names, alarms=[*names]))[0]


def test_at_a_glance_stands_the_range_and_no_choice_of_the_best() -> None:
    found = detection()
    every = [s for name in STRENGTHS if (s := found.score(name, found.key_attack))]
    values = sorted(e.value for s in every if (e := s.detection_rates["0.05"]))
    low, high = (words.of_hundred(value) for value in (values[0], values[-1]))
    sentence = noticed.at_a_glance(found)
    assert re.fullmatch(
        rf"At one false alarm in twenty, 4 detectors see between {low} \[\d+, \d+\] and {high} "
        rf"\[\d+, \d+\] of 100 PGD images at 1/255\.",
        sentence,
    )
    one = detection({"LID": 0.7})
    assert noticed.at_a_glance(one).startswith("At one false alarm in twenty, the detector sees ")
    few = [dataclasses.replace(s, too_few=True) for s in found.detector_scores]
    assert noticed.at_a_glance(dataclasses.replace(found, detector_scores=tuple(few))) == ""


def test_the_harmless_change_flagged_most_is_named_with_its_detector() -> None:
    found = detection()
    worst = [(s, name) for name in STRENGTHS if (s := noticed.worst_change(found, name))]
    rates = {e.value: (s, name) for s, name in worst if (e := s.detection_rates["0.05"])}
    own, name = rates[max(rates)]
    sentence = noticed.daily(found)
    change, share = found.image_sets[own.image_set].name, words.of_hundred(max(rates))
    assert f"daily life, {change} alarms" in sentence and f"{name} flags {share} [" in sentence
    assert name not in noticed.daily(detection(alarms=[name]))
    assert noticed.daily(detection(alarms=[*STRENGTHS])) == ""
    assert sentence in render_html(made(found))


def terminal(shown: Report) -> str:
    out = StringIO()
    print_report(shown, Console(file=out, width=80))
    return out.getvalue()


@pytest.mark.parametrize("alarms", [[], ["LID"], [*STRENGTHS]])
def test_the_terminal_keeps_to_its_lines(alarms: Sequence[str]) -> None:
    lines = terminal(made(detection(alarms=alarms))).splitlines()
    assert len(lines) <= 23 and max(map(len, lines)) <= 80
    (line,) = [line for line in lines if "1 false alarm in 20" in line] or [""]
    if len(alarms) == 4:
        assert line == ""
    else:
        see = f"At 1 false alarm in 20, {4 - len(alarms)} detectors see "
        assert re.fullmatch(rf"{see}\d+ to \d+ of 100 PGD images at 1/255", line)


def cells_of(page: str, table: str) -> list[list[tuple[str, str]]]:
    """Class and text of each cell of one table, line by line."""
    (body,) = re.findall(rf'<table id="{table}".*?<tbody>(.*?)</tbody>', page, re.S)
    lines = []
    for row in re.findall(r"<tr.*?>(.*?)</tr>", body, re.S):
        found = re.findall(r"<(t[hd])([^>]*)>(.*?)</t[hd]>", row, re.S)
        lines.append(
            [
                (" ".join(re.findall(r'class="(.*?)"', attributes)), re.sub("<.*?>", "", text))
                for _, attributes, text in found
            ]
        )
    return lines


def test_cells_are_marked_shaded_and_framed_for_what_they_are() -> None:
    shown = made()
    found = shown.detection
    assert found is not None
    kinds = {"above": 0, "below": 0, "few": 0, "framed": 0}
    page = render_html(shown)
    for number, name in enumerate(found.detectors):
        lines = cells_of(page, f"table-heat-{number}")
        fits = [None] if name == "MaxSoftmax" else range(len(ATTACKS))
        assert len(lines) == len(list(fits))
        for fitted, (head, *cells, null) in zip(fits, lines):
            assert head[1] == ("nothing" if fitted is None else f"{label(found, fitted)}")
            assert re.fullmatch(r"0\.\d\d \[0\.\d\d, 0\.\d\d\]", null[1])
            assert len(cells) == len(found.image_sets)
            for place, (kind, text) in enumerate(cells):
                own = only(found, name, fitted, place)
                assert own.auc is not None
                assert text.startswith(f"{own.auc.value:.2f}{'*' * own.too_few} [")
                side = "" if own.too_few else "below" if own.auc.value < 0.5 else "above"
                assert kind.split() == [s for s in (side, "framed" * (fitted == place)) if s]
                kinds["few"] += own.too_few
                kinds["framed"] += fitted == place
                if side:
                    kinds[side] += 1
    assert min(kinds.values()) > 3, kinds


def label(found: Detection, place: int) -> str:
    shown = found.image_sets[place]
    return f"{shown.name} {words.eps_text(shown.eps, shown.norm)}"


def only(found: Detection, detector: str, fitted: int | None, shown: int) -> DetectorScore:
    (own,) = [
        s
        for s in found.detector_scores
        if (s.detector, s.fitted_on, s.image_set) == (detector, fitted, shown)
    ]
    return own


def test_an_attack_without_success_is_empty_with_its_reason() -> None:
    shown = made(detection(attacks=[*ATTACKS, EMPTY, APART]))
    reason = "CW 1/255 (no attack succeeded); CW 2/255 (its 4 successes lie in one fold)"
    page = render_html(shown)
    assert page.count(f"Nothing could be fitted on {reason}.") == 5
    lines = {row[0][1]: row for row in cells_of(page, "table-heat-0")}
    assert [text for _, text in lines["CW 1/255"][1:]] == [words.NONE] * (
        len(lines["CW 1/255"]) - 1
    )
    assert lines["PGD 1/255"][5][1] == words.NONE and lines["PGD 1/255"][6][1][0] == "0"
    for row in cells_of(page, "table-heat-matched")[:3]:
        assert row[5][1] == row[6][1] == words.NONE


@pytest.mark.parametrize("template", ORDERS)
def test_each_cell_points_at_its_number(template: str) -> None:
    shown, html = pages(template)
    raw = json.loads(shown.to_json())
    named = [(p, t) for p, t in test_truth.Page(html).named if p.startswith("/detection")]
    assert len(named) > 3600
    for path, text in named:
        found = at(raw, path)
        digits = 3 if re.match(r"\d\.\d{3}", text) else 2
        scale, digits = (1, digits) if path.endswith("auc") else (100, 1)
        value, low, high = (f"{scale * found[k]:.{digits}f}" for k in ("value", "low", "high"))
        own = at(raw, path.rsplit("/auc")[0].split("/seen")[0])
        mark = "*" if own.get("too_few") else "!" if own.get("alarm") else ""
        assert text == f"{value}{mark} [{low}, {high}]", path


def test_the_summary_points_at_the_fitting_on_the_key_attack() -> None:
    shown = made()
    found = shown.detection
    assert found is not None and found.key_attack is not None
    html = render_html(shown)
    table = html[
        html.index('id="table-noticed"') : html.index('aria-label="Table: Each detector fitted')
    ]
    lines = re.findall(r"<bdi>(\w+)</bdi>(.*?)</tr>", table[table.index("<tbody>") :], re.S)
    assert [name for name, _ in lines] == list(found.detectors)
    for name, line in lines:
        auc, at1, at5, at10, null, noise, change = re.findall(r'data-path="(.*?)"', line)
        place = found.detector_scores.index(
            only(found, name, None if name == "MaxSoftmax" else 1, 1)
        )
        own = f"/detection/detector_scores/{place}"
        assert [auc, at1, at5, at10] == [
            f"{own}/auc",
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
    own = html[html.index("Would anyone" if template == "standard" else "At one false") :]
    numbers = {n for text in test_truth.Page(own).text for n in NUMBER.findall(text)}
    assert len(numbers) > 200
    assert numbers <= allowed, sorted(numbers - allowed)


def test_the_page_stays_small() -> None:
    assert len(pages("standard")[1].encode()) < 3_000_000


def test_a_report_without_detectors_says_nothing_of_them() -> None:
    for order in ORDERS.values():
        page = render_html(report(), order)
        assert "Would anyone notice" not in page and "detectors-" not in page
    risk = str([s for s in regulatory(report()) if s.name == "risk"])
    assert "detection of manipulated images" in risk
    assert "detection of manipulated images" not in str(
        [s for s in regulatory(made()) if s.name == "risk"]
    )


def test_it_comes_back_from_json_and_fulfils_the_schema() -> None:
    shown = made(detection(attacks=[*ATTACKS, EMPTY]))
    assert Report.from_json(shown.to_json()) == shown
    jsonschema.validate(
        json.loads(shown.to_json()), json.loads(PUBLISHED.read_text(encoding="utf-8"))
    )


def test_figures_show_each_detector_and_every_point(tmp_path: Path) -> None:
    shown = made(drawn=True)
    found = shown.detection
    assert found is not None
    drawn = {f.name: f for f in accuracy_figures(shown) if f.name.startswith("detectors")}
    assert list(drawn) == ["detectors-roc", "detectors-scores", "detectors-features"]
    (axes,) = drawn["detectors-roc"].draw().axes
    legend = axes.get_legend()
    assert legend is not None
    assert [t.get_text() for t in legend.get_texts()] == list(found.detectors)
    for line, trace in zip(axes.get_lines()[2:], found.score_curves, strict=True):
        np.testing.assert_allclose(line.get_xydata() / 100, trace.roc)
    panels = drawn["detectors-scores"].draw().axes
    assert [a.get_title() for a in panels] == list(found.detectors)
    maps = drawn["detectors-features"].draw().axes
    assert [a.get_title() for a in maps] == ["FGSM, L∞ 1/255", "PGD, L∞ 1/255"]
    assert [len(line.get_xdata()) for a in maps for line in a.get_lines()] == [12, 12, 61, 61]
    for name in found.detectors:
        assert name in drawn["detectors-roc"].described
    paths = {p.name for p in write_report(shown, tmp_path, "svg", "png")}
    assert {f"{name}.{kind}" for name in drawn for kind in ("svg", "png")} <= paths


def test_markdown_has_sentences_and_tables_and_no_word_of_colours() -> None:
    text = render_markdown(made())
    section = text[text.index("## Would anyone notice") :].split("\n## ")[0]
    assert section.count("<details><summary>transfer matrix ") == 4
    assert "**Each detector on PGD, L∞ 1/255**" in section
    assert "Blue" not in section and "frame" not in section
    for block in re.findall(r"(?:^\|.*\n?)+", section, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


def hostile() -> Detection:
    """Detectors, attacks, layers and reasons with hostile names alone."""
    every = list(NAMES.values())
    attacks = [ImageSet("attack", name, "Linf", 1 / 255, 40) for name in every]
    attacks += [ImageSet("attack", name, "L2", None, 0, name) for name in every[:4]]
    found = detection(dict.fromkeys(every, 0.5), attacks[-6:], key=0)
    sights = dataclasses.replace(
        found,
        layers=tuple(every),
        reference=dataclasses.replace(found.reference, split=NAMES["script"]),
        detectors={name: f"{name}(x={name!r})" for name in every},
    )
    return sights


def calm(shown: Report) -> Report:
    raw = shown.to_json()
    for i, name in enumerate(sorted(NAMES.values(), key=len, reverse=True)):
        for form in (json.dumps(name, ensure_ascii=False), json.dumps(repr(name)[1:-1])):
            raw = raw.replace(form[1:-1], f"name{i:02}")
    return Report.from_json(raw)


def test_hostile_names_stay_text(capfd: pytest.CaptureFixture[str]) -> None:
    shown = made(hostile())
    twin = calm(shown)
    assert "script" not in str(twin.detection)
    for order in ORDERS.values():
        page, other = (test_names.Page(render_html(r, order)) for r in (shown, twin))
        assert page.elements == other.elements and page.loaded == other.loaded
        assert not test_names.controls("\n".join(page.texts))
        for name in NAMES.values():
            assert words.plain(name) in page.texts, name
    text = render_latex(shown)
    assert test_names.commands(text) == test_names.commands(render_latex(twin))
    assert latex.escape(words.plain(NAMES["tex"])) in text
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = made(detection(dict.fromkeys(list(NAMES.values())[11:23], 0.5)), drawn=True)
        for figure in accuracy_figures(found)[-3:]:
            root = ET.fromstring(figure.svg())
            assert not [e for e in root.iter() if str(e.tag).endswith("script")]
    assert capfd.readouterr().err == ""


def test_hostile_names_make_no_mark_in_markdown() -> None:
    markdown_it = pytest.importorskip("markdown_it")
    parser = markdown_it.MarkdownIt("commonmark").enable(["table", "strikethrough"])

    def tokens(shown: Report) -> tuple[list[str], list[str]]:
        every = parser.parse(render_markdown(shown))
        inline = [child for token in every for child in token.children or ()]
        kinds = [t.type for t in every] + [t.type for t in inline if t.type != "text"]
        return kinds, [t.content for t in (*every, *inline) if t.type.startswith("html")]

    shown = made(hostile())
    assert tokens(shown) == tokens(calm(shown))


def test_the_plan_of_detectors_reads_back() -> None:
    raw = {
        "detectors": [{"name": "LID", "k": 20}, {"name": "LID", "label": "LID 5", "k": 5}],
        "detection": {"fit_on": ["PGD"], "fit_eps": ["1/255", 0.03], "layers": ["layer4", "fc"]},
    }
    plan = make_plan(raw)
    text = plan_toml(made(plan=plan.model_dump(mode="json")))
    assert 'fit_eps = [\n    "1/255",\n    0.03,\n]' in text
    assert make_plan(tomllib.loads(text)) == plan
