"""Sentences on adaptive attacks, beside what detectors do against the known attack."""

from __future__ import annotations

import dataclasses

from robust.report.text.adaptive import adaptive_line, adaptive_sentences, adaptive_summary
from robust.report.text.detection import detection_lines, detection_summary, detector_sentences
from tests.report.detected import detection, evaded

FOUND = evaded(detection(), LID=0.9, Mahalanobis=0.35)


def test_sentences_say_what_passes_beside_what_is_detected() -> None:
    said = {name: s for s in detector_sentences(FOUND) for name in FOUND.detectors if name in s}
    assert said["LID"].endswith(
        " When the attacker knows this detector, 90 % [83, 97] of the images fool the model and "
        "raise no alarm; with PGD alone, 25 % [18, 32] do. The detector stopped none of the images "
        "that fooled the model."
    )
    assert "detector, 35 % [28, 42] of the images" in said["Mahalanobis"]
    assert said["Mahalanobis"].endswith("Without the detector, 90 % fool the model.")
    assert "knows" not in said["KernelDensity"]


def test_the_headline_and_the_terminal_name_the_range() -> None:
    assert detection_summary(FOUND).endswith(
        " When the attacker knows the detector, between 35 [28, 42] and 90 [83, 97] of 100 images "
        "fool the model and raise no alarm; without a detector, 90 fool the model."
    )
    line = "If the attacker knows the detector, 35 to 90 of 100 fool the model undetected."
    assert detection_lines(FOUND)[1] == line and len(line) <= 80
    one = evaded(detection(), LID=0.5)
    assert detection_summary(one).endswith(
        "detector, 50 [43, 57] of 100 images fool the model and raise no alarm; without a detector, 90 fool the model."
    )
    assert adaptive_summary(detection(), ["LID"]) == ""


def test_what_too_few_clean_images_leave_unknown_is_called_unknown() -> None:
    (one,) = evaded(detection(), LID=0.9).adaptive
    made = dataclasses.replace(one, evasion_rates={**one.evasion_rates, "0.05": None})
    found = dataclasses.replace(detection(), adaptive=(made,))
    assert adaptive_sentences(found, "LID") == (
        " How often an attacker who knows this detector passes it is unknown: 5 % false alarms take "
        "at least 40 groups of clean images."
    )
    assert adaptive_summary(found, ["LID"]) == adaptive_line(found, ["LID"]) == ""
