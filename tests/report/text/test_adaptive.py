"""Sentences on adaptive attacks, beside what detectors do against the known attack."""

from __future__ import annotations

import dataclasses

from robust.report.text.adaptive import adaptive_line, adaptive_sentences, adaptive_summary
from robust.report.text.detection import detection_lines, detection_summary, detector_sentences
from tests.report.detected import detection, estimate, evaded, without

FOUND = evaded(detection(), LID=0.9, Mahalanobis=0.35)


def test_sentences_say_what_passes_beside_what_is_detected() -> None:
    said = {name: s for s in detector_sentences(FOUND) for name in FOUND.detectors if name in s}
    assert said["LID"].endswith(
        " When the attacker knows this detector, of the images that fool the model 100 % [93, 100] "
        "raise no alarm; of those of PGD alone, 30 % [23, 37]. The detector stopped none of them. "
        "Of all cases, 90 % [83, 97] fall unnoticed."
    )
    assert "fool the model 39 % [32, 46] raise no alarm" in said["Mahalanobis"]
    assert said["Mahalanobis"].endswith(
        "Of all cases, 35 % [28, 42] fall unnoticed; without the detector, 90 % fall."
    )
    assert "knows" not in said["KernelDensity"]


def test_the_headline_and_the_terminal_name_the_range() -> None:
    assert detection_summary(FOUND).endswith(
        "false alarms per 100 clean images; if the attacker knows the detector, between 39 "
        "[32, 46] and 100 [93, 100]."
    )
    line = "If the attacker knows the detector, 39 to 100 of 100 pass."
    assert detection_lines(FOUND)[2] == line and len(line) <= 80
    one = evaded(detection(), LID=0.5)
    assert detection_summary(one).endswith("; if the attacker knows the detector, 56 [49, 63].")
    assert adaptive_summary(detection(), ["LID"]) == ""


def test_static_and_adaptive_shares_are_of_the_images_that_fool() -> None:
    """3 to 26 of 100 detected, and 27 to 30 of 100 cases: all that fooled the model had passed."""
    low = {"0.01": None, "0.05": estimate(0.03, 0.02), "0.1": None}
    seen = without(evaded(detection({"LID": 0.7}), LID=0.9), "LID", detection_rates=low)
    summary = detection_summary(seen)
    assert "Of 100 images that fool the model, 97 [95, 99] raise no alarm at 5 false" in summary
    assert summary.endswith("; if the attacker knows the detector, 100 [93, 100].")
    assert detection_lines(seen)[1:] == [
        "At 5 % false alarms, 97 of 100 images that fool the model pass.",
        "If the attacker knows the detector, 100 of 100 pass.",
    ]


def test_figures_without_a_verdict_are_not_quoted_at_the_top() -> None:
    for changes in ({"too_few": True}, {"explained_by_selection": True}):
        doubted = tuple(dataclasses.replace(one, **changes) for one in FOUND.adaptive)
        assert "knows" not in detection_summary(dataclasses.replace(FOUND, adaptive=doubted))


def test_what_too_few_clean_images_leave_unknown_is_called_unknown() -> None:
    (one,) = evaded(detection(), LID=0.9).adaptive
    made = dataclasses.replace(one, undetected_rates={**one.undetected_rates, "0.05": None})
    found = dataclasses.replace(detection(), adaptive=(made,))
    assert adaptive_sentences(found, "LID") == (
        " How often an attacker who knows this detector passes it is unknown: 5 % false alarms take "
        "at least 40 groups of clean images."
    )
    assert adaptive_summary(found, ["LID"]) == adaptive_line(found, ["LID"]) == ""
