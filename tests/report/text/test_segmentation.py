"""What a report says of outlines: in the words of the goal, and in none of the words of classes."""

from __future__ import annotations

import dataclasses
import re

import pytest

from robust.records import AuditedTask, Report
from robust.report.formats.html import render_html
from robust.report.formats.latex import render_latex
from robust.report.formats.markdown import render_markdown
from robust.report.layout.regulatory import regulatory
from robust.report.text.classification import CLASSIFICATION
from robust.report.text.glossary import OUTLINE_TERMS, TERMS
from robust.report.text.headline import headline, verdicts
from robust.report.text.opening import opening_facts
from robust.report.text.words import words
from tests.records.test_report import report
from tests.report.outlined import TASK, outline_report
from tests.report.pages import NumberPage

TWO = dataclasses.replace(TASK, structures=("left lung", "opacity"))
VOLUMES = dataclasses.replace(TASK, structures=("hippocampus",), volumes=True)
ATTACKER = "an attacker who may change each pixel by up to 1 of 255 grey levels"


def second(shown: Report) -> str:
    return headline(shown)[1]


def test_the_lead_says_what_attacks_do_to_outlines() -> None:
    assert headline(outline_report()) == [
        "On unmodified images, the model outlines 93 of 100 chest X-rays well, with a Dice of at "
        "least 0.7 (95 % interval [89, 97]; measured on 100 images of 80 groups).",
        f"Of 100 good outlines of 'lungs', {ATTACKER} makes 12 [8, 16] worse than Dice 0.7; with "
        "up to 4 of 255 grey levels, all but 2 [0, 6].",
        "With the larger change, the mean Dice of all cases falls from 0.94 [0.90, 0.98] to 0.18 "
        "[0.14, 0.22].",
    ]


def test_of_several_structures_the_lead_names_the_one_that_loses_most() -> None:
    task = dataclasses.replace(TWO, drop=0.2)
    first, attacked, last = headline(outline_report(task))
    assert "a Dice of at least 0.7, the mean over 2 structures (" in first
    assert (
        "makes 12 [8, 16] worse than Dice 0.7, or lowers their Dice by more than 0.2;" in attacked
    )
    assert last.endswith(
        "'left lung' loses most, from 0.94 [0.90, 0.98] to 0.18 [0.14, 0.22]. The model finds "
        "nothing of 'opacity' in 25 [23, 27] of 100 chest X-rays that have it."
    )


@pytest.mark.parametrize(
    ("goal", "said"),
    [
        ("miss", f"Of 100 good outlines of 'lungs', {ATTACKER} makes 12 [8, 16] vanish;"),
        (
            "false alarm",
            f"Of 100 chest X-rays without 'lungs', in which the model outlines none, {ATTACKER} "
            "makes the model outline it in 12 [8, 16];",
        ),
        ("grow", "makes 12 [8, 16] too large by at least 25 % of the true area;"),
        ("shrink", "makes 12 [8, 16] too small by at least 25 % of the true area;"),
        ("mask", "turns 12 [8, 16] into the mask that the attacker wants;"),
    ],
)
def test_each_goal_has_its_own_words(goal: str, said: str) -> None:
    shown = outline_report(goal=goal)
    assert said in second(shown)
    assert words(shown).goal(shown) in render_markdown(shown)


def test_where_the_attacker_may_touch_and_what_a_volume_is_made_of() -> None:
    outside = outline_report(dataclasses.replace(TASK, touch="outside"))
    assert "change each pixel outside the structures by up to 1 of 255" in second(outside)
    assert "can change every pixel outside the structures within" in render_markdown(outside)
    slices = outline_report(VOLUMES, "grow", "MR volumes", "L2-slice")
    assert "change each slice by an L2 distance of up to 1/255 makes 12" in second(slices)
    assert "25 % of the true volume" in second(slices)
    assert headline(slices)[0].startswith("On unmodified volumes, the model outlines 93 of 100 MR")
    inside = outline_report(dataclasses.replace(VOLUMES, touch="inside"), norm="L2-slice")
    assert "change each slice inside the structures by an L2 distance of up to" in second(inside)
    whole = outline_report(VOLUMES, images="images", norm="L2")
    assert "93 of 100 volumes well" in headline(whole)[0]
    assert "change the volume by an L2 distance of up to 1/255" in second(whole)


def test_the_opening_names_the_structures_and_when_an_outline_is_good() -> None:
    facts = dict(opening_facts(outline_report(TWO)))
    assert "Finding" not in facts
    (sentence,) = facts["Structures"]
    assert sentence == (
        "'left lung' and 'opacity'; the background does not count. A case is outlined well where "
        "its Dice, the mean over 2 structures, is at least 0.7. Distances are in mm."
    )


@pytest.mark.parametrize("task", [TASK, TWO, VOLUMES])
def test_no_word_of_classes_is_left_in_any_form(task: AuditedTask) -> None:
    shown = outline_report(task, gates={"clean_accuracy": 0.8, "robust_accuracy": 0.5, "dice": 0.5})
    for text in (
        " ".join(NumberPage(render_html(shown, phone=False)).text),
        " ".join(NumberPage(render_html(shown, regulatory, phone=False)).text),
        render_markdown(shown),
        render_latex(shown),
    ):
        found = re.findall(
            "misread|reads? correctly|classifier|sensitivity|specificity|recall|confusion|robust "
            "accuracy",
            text,
            re.I,
        )
        assert not found


def test_verdicts_look_at_the_goal() -> None:
    assert [v.word for v in verdicts(outline_report())] == ["undecided", "mostly fooled", "fails"]
    assert words(outline_report()).rule != words(report()).rule


def test_the_glossary_of_outlines_has_their_terms_alone() -> None:
    for term in ("dice", "iou", "surface-dice", "hd95", "volume-error", "missed", "invented"):
        assert term in OUTLINE_TERMS and term not in TERMS
    for term in ("miss", "false-alarm", "sensitivity", "specificity", "auc", "attacker-auc"):
        assert term in TERMS and term not in OUTLINE_TERMS
    assert list(OUTLINE_TERMS)[:5] == ["eps", "norm", "clean", "accuracy", "robust-accuracy"]


def test_a_report_without_masks_keeps_the_words_of_classes() -> None:
    assert words(report()) is CLASSIFICATION
