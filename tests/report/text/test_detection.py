"""Sentences on detectors claim no more than the numbers do."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from robust.records import Detection, Estimate, ImageSet, Report
from robust.report.formats.html import render_html
from robust.report.formats.markdown import render_markdown
from robust.report.formats.terminal import print_report
from robust.report.layout.regulatory import regulatory
from robust.report.text.detection import (
    SELECTION_ALONE,
    SELECTION_LINE,
    auc_text,
    detection_summary,
    detector_sentences,
    harmless_change_sentence,
    null_control_warning,
    worst_harmless_change,
)
from robust.report.text.format import of_hundred
from robust.report.text.headline import headline
from tests.report.detected import ATTACKS, STRENGTHS, cells_of, detection, report_on
from tests.report.pages import ORDERS

EMPTY = ImageSet("attack", "CW", "Linf", 1 / 255, 0, "no attack succeeded")


APART = ImageSet("attack", "CW", "Linf", 2 / 255, 4, "its 4 successes lie in one fold")


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
    (sentence,) = [s for s in detector_sentences(found) if name in s]
    return sentence


def test_a_sentence_says_what_is_detected_at_5_percent_false_alarms() -> None:
    seen = {"0.01": None, "0.05": rate(0.612, 0.548, 0.671), "0.1": None}
    areas = {"paired_auc": rate(0.7, 0.6, 0.8), "auc": rate(0.8, 0.7, 0.9)}
    found = key_changed(**areas, selection_auc=rate(0.6, 0.52, 0.68), detection_rates=seen)
    null = found.null_control("LID")
    assert null is not None
    assert said_of("LID", found) == (
        "Against the unmodified images of the same cases, LID reaches an AUC of 0.70 [0.60, 0.80] "
        "on attacked images (PGD, eps 1/255). At 5 % false alarms, it detects 61 % [55, 67] of "
        "them. Against all clean images its AUC is 0.80 [0.70, 0.90]; without any attack, the "
        "cases that fall differ from the others by an AUC of 0.60 [0.52, 0.68]. Null control: AUC "
        f"{auc_text(null.auc)}, expected 0.5."
    )
    assert "all clean" not in said_of("LID", key_changed(selection_auc=None))


def test_what_selection_explains_gets_no_verdict_and_the_paired_auc_comes_first() -> None:
    areas = {"paired_auc": rate(0.535, 0.49, 0.58), "auc": rate(0.883, 0.852, 0.911)}
    areas["selection_auc"] = rate(0.941, 0.92, 0.96)
    found = key_changed(**areas, explained_by_selection=True)
    assert said_of("LID", found) == (
        "Against the unmodified images of the same cases, LID reaches an AUC of 0.54 [0.49, 0.58] "
        "on attacked images (PGD, eps 1/255): not shown to be better than chance. Its AUC of "
        "0.88 [0.85, 0.91] against all clean images gets no verdict, because which cases fall explains it: without "
        "any attack, their unmodified images differ from those of the other cases by an AUC of "
        "0.94 [0.92, 0.96]."
    )
    summary = detection_summary(found)
    assert "3 detectors reach" in summary and "0.54" not in summary
    assert summary.endswith("LID gets no verdict, because which cases fall explains the AUC.")
    scores = [dataclasses.replace(s, explained_by_selection=True) for s in found.detector_scores]
    every = dataclasses.replace(found, detector_scores=tuple(scores))
    assert detection_summary(every) == SELECTION_ALONE
    assert not re.search(r"\d", SELECTION_ALONE) and SELECTION_LINE in terminal(report_on(every))


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (None, "that takes at least 72 groups of clean images, and there are 80."),
        (90, "that takes at least 90 groups of clean images, and there are 80."),
        (5, "is not known: too few groups have such an image."),
    ],
)
def test_where_no_detection_rate_is_known_the_summary_says_how_many_groups_it_takes(
    known: int | None, words: str
) -> None:
    alone = None if known is None else Estimate(0.6, None, None, 50, 40, known)
    found = detection()
    scores = [
        dataclasses.replace(s, detection_rates={"0.05": alone}) for s in found.detector_scores
    ]
    said = detection_summary(dataclasses.replace(found, detector_scores=tuple(scores)))
    assert said.endswith(words) and "None" not in said


HONEST = {
    "below chance": (
        {"paired_auc": rate(0.31, 0.25, 0.37)},
        "an AUC of 0.31 [0.25, 0.37] on attacked images (PGD, eps 1/255): it rates them as less "
        "suspicious.",
    ),
    "chance": (
        {"paired_auc": rate(0.53, 0.48, 0.58)},
        "an AUC of 0.53 [0.48, 0.58] on attacked images (PGD, eps 1/255): not shown to be "
        "better than chance.",
    ),
    "as of clean ones": (
        {"paired_auc": rate(0.62, 0.55, 0.68), "detection_rates": {"0.05": rate(0.03, 0.0, 0.08)}},
        "(PGD, eps 1/255). At 5 % false alarms, it detects 3 % [0, 8] of them. This is no more "
        "than the share of clean images",
    ),
    "perhaps as of clean ones": (
        {"paired_auc": rate(0.62, 0.55, 0.68), "detection_rates": {"0.05": rate(0.09, 0.04, 0.15)}},
        "[4, 15] of them. This may be no more than the share of clean images",
    ),
    "few": ({"too_few": True}, "LID gets no verdict: there are only 61 attacked images (PGD"),
    "no threshold": (
        {"detection_rates": {"0.05": None}},
        "It is unknown how many of them it detects at 5 % false alarms: that takes at least 40 groups "
        "of clean images.",
    ),
    "no number": (
        {"paired_auc": None},
        "LID has no result on attacked images (PGD, eps 1/255): it was not",
    ),
}


@pytest.mark.parametrize("name", HONEST)
def test_a_sentence_claims_no_more_than_was_seen(name: str) -> None:
    changes, expected = HONEST[name]
    sentence = said_of("LID", key_changed(**changes))
    assert expected in sentence
    if name in ("few", "no number"):
        assert "%" not in sentence and "AUC" not in sentence
    assert all("LID" not in s for s in detector_sentences(key_changed(**changes)) if s != sentence)


def test_without_a_key_there_is_one_sentence_and_its_reason() -> None:
    found = detection(attacks=[EMPTY], key=None)
    assert detector_sentences(found) == ("No detector could be evaluated: no attack succeeded.",)
    assert headline(report_on(found))[-1].endswith("unknown: no detector could be evaluated.")
    for order in ORDERS.values():
        page = render_html(report_on(found), order, phone=False)
        assert "No detector could be evaluated: no attack succeeded." in page
        assert 'id="table-detectors"' not in page and "detectors-roc" not in page


def test_an_attack_that_nothing_could_be_fitted_on() -> None:
    found = detection(attacks=[*ATTACKS, APART], key=4)
    sentence = said_of("LID", dataclasses.replace(found, key_attack=4))
    assert sentence == (
        "LID has no result on attacked images (CW, eps 2/255): its 4 successes lie in one fold."
    )


def test_a_null_alarm_opens_every_format_and_its_detector_gets_no_figure() -> None:
    loud = report_on(detection(alarms=["LID"]))
    opening = "Do not trust the results of LID: LID separated unmodified images from other"
    assert headline(loud)[0].startswith(opening)
    null = loud.detection and loud.detection.null_control("LID")
    assert null and f"(null control: AUC {null.auc.value:.2f} [" in headline(loud)[0]
    for order in ORDERS.values():
        page = render_html(loud, order, phone=False)
        assert re.search(rf'aria-label="Summary">\s*<p>{opening}', page)
        title, _, lead = render_markdown(loud, order).split("\n\n")[:3]
        assert title.startswith("# ") and lead.startswith(opening)
    shown = terminal(loud)
    assert " ".join(shown.splitlines()[1:3]).startswith(opening)
    found = loud.detection
    assert found is not None
    assert said_of("LID", found).startswith(
        "The results of LID cannot be trusted: the AUC of its null control is 0.62"
    )
    assert "3 detectors reach" in headline(loud)[-1]
    page = render_html(loud, phone=False)
    (line,) = [row for row in cells_of(page, "table-detectors") if row[0][1].startswith("LID")]
    assert line[0][1] == "LID!" and "!" in line[7][1]
    heat = [row for row in cells_of(page, "table-heat-matched") if row[0][1].startswith("LID")]
    assert heat and not any("above" in kind or "below" in kind for kind, _ in heat[0])
    assert opening in "".join(
        str(b) for s in regulatory(loud) if s.name == "risk" for b in s.blocks
    )


def test_two_loud_detectors_are_named_and_three_more_counted() -> None:
    names = dict.fromkeys(("A1", "B2", "C3", "D4", "E5"), 1.0)
    assert null_control_warning(detection(names)) == ()
    assert "results of A1 and B2:" in null_control_warning(detection(names, alarms=["A1", "B2"]))[0]
    assert (
        "results of A1, B2 and 3 more:"
        in null_control_warning(detection(names, alarms=[*names]))[0]
    )


def test_at_a_glance_stands_the_range_and_no_choice_of_the_best() -> None:
    found = detection()
    every = [s for name in STRENGTHS if (s := found.score(name, found.key_attack))]
    values = sorted(1 - e.value for s in every if (e := s.detection_rates["0.05"]))
    low, high = (of_hundred(value) for value in (values[0], values[-1]))
    areas = sorted(s.paired_auc.value for s in every if s.paired_auc)
    least, most = (f"{area:.2f}" for area in (areas[0], areas[-1]))
    sentence = detection_summary(found)
    assert re.fullmatch(
        r"Against the unmodified images of the same cases, 4 detectors reach an AUC between "
        rf"{least} \[[\d., ]+\] and {most} \[[\d., ]+\] on attacked images \(PGD, eps 1/255\); "
        rf"0\.5 is chance\. Of 100 images that fool the model, between {low} \[\d+, \d+\] and "
        rf"{high} \[\d+, \d+\] raise no alarm at 5 false alarms per 100 clean images\.",
        sentence,
    )
    one = detection_summary(detection({"LID": 0.7}))
    assert "same cases, the detector reaches an AUC of 0." in one
    few = [dataclasses.replace(s, too_few=True) for s in found.detector_scores]
    assert detection_summary(dataclasses.replace(found, detector_scores=tuple(few))) == ""


def test_the_harmless_change_flagged_most_is_named_with_its_detector() -> None:
    found = detection()
    worst = [(s, name) for name in STRENGTHS if (s := worst_harmless_change(found, name))]
    rates = {e.value: (s, name) for s, name in worst if (e := s.detection_rates["0.05"])}
    own, name = rates[max(rates)]
    sentence = harmless_change_sentence(found)
    change, share = found.image_sets[own.image_set].name, of_hundred(max(rates))
    assert (
        f"Among harmless changes, {change} triggers" in sentence
        and f"{name} flags {share} [" in sentence
    )
    assert name not in harmless_change_sentence(detection(alarms=[name]))
    assert harmless_change_sentence(detection(alarms=[*STRENGTHS])) == ""
    page = render_html(report_on(found), phone=False)
    assert sentence in page.replace("\N{NO-BREAK SPACE}", " ")


def terminal(shown: Report) -> str:
    out = StringIO()
    print_report(shown, Console(file=out, width=80))
    return out.getvalue()


@pytest.mark.parametrize("alarms", [[], ["LID"], [*STRENGTHS]])
def test_the_terminal_keeps_to_its_lines(alarms: Sequence[str]) -> None:
    lines = terminal(report_on(detection(alarms=alarms))).splitlines()
    assert len(lines) <= 23 and max(map(len, lines)) <= 80
    (line,) = [line for line in lines if "5 % false alarms" in line] or [""]
    if len(alarms) == 4:
        assert line == ""
    else:
        pass_by = r"\d+ to \d+ of 100 images that fool the model pass"
        assert re.fullmatch(rf"At 5 % false alarms, {pass_by}\.", line)
        reach = r"Detectors: AUC 0\.\d\d to 0\.\d\d against the same cases' clean images"
        assert sum(re.match(reach, line) is not None for line in lines) == 1
