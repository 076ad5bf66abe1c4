"""Sentences on attackers with less knowledge."""

from __future__ import annotations

import dataclasses

from robust.report.text.scenarios import scenario_sentences
from tests.report.detected import SCENARIO_REPORT, SCENARIOS, detection, report_on


def test_each_attacker_has_one_sentence_at_its_greatest_effort() -> None:
    said = scenario_sentences(SCENARIO_REPORT)
    assert len(said) == 4
    assert said[0] == (
        "One perturbation of L∞ 2/255, computed on 8 images and added to every other image, fools "
        "the model on 40 % of images; a random perturbation of the same size does so "
        "on 10 %."
    )
    assert "One patch of 5 % of the area" in said[1]
    assert "with 500 queries for each" in said[3]


def test_a_sentence_says_where_the_difference_may_be_chance() -> None:
    (sentence,) = scenario_sentences(dataclasses.replace(SCENARIO_REPORT, scenarios=SCENARIOS[:1]))
    assert sentence.endswith("The difference may be chance: the intervals overlap.")


def test_without_scenarios_nothing_is_said() -> None:
    assert scenario_sentences(report_on(detection())) == ()
