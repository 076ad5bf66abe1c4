"""Sentences on certificates."""

from __future__ import annotations

import dataclasses

from robust.report.text.certificates import (
    UNKNOWN,
    certificate_lines,
    certificate_sentences,
    crossing_sentences,
)
from robust.report.text.headline import headline
from tests.records.test_report import report
from tests.report.certified import bounds, certified_report, smoothing


def said(*certificates: object) -> tuple[str, ...]:
    return certificate_sentences(report(certificates=certificates))


def test_a_calculated_proof_says_what_is_proven_and_what_nobody_knows() -> None:
    (text,) = said(bounds())
    assert text.startswith(
        "IntervalBounds proves for 59 [49, 69] of 100 images: the audited model reads the image "
        "correctly, and an attacker who may change each pixel by up to 1 of 255 grey levels cannot "
        "alter that. Without attack the model reads 92 [82, 100] of 100"
    )
    assert "The proof is a calculation: it holds for every image that is counted." in text
    assert text.endswith(
        "Attacks on the audited model (PGD, APGD) leave 83 [73, 93] of 100 correct at that size. "
        f"On these images the truth lies between 59 and 83. {UNKNOWN}"
    )


def test_smoothing_says_that_it_proves_another_classifier() -> None:
    (text,) = said(smoothing())
    assert "the smoothed classifier reads the image correctly" in text
    assert "The smoothed classifier is another one than the audited model" in text
    assert "on 6 [0, 16] of 100 it abstains" in text
    assert "wrong with a probability of at most 0.1 %" in text
    assert "no radius above L2 0.953 can be proven" in text


def test_without_an_attack_on_the_same_classifier_there_is_no_upper_bound() -> None:
    points = tuple(dataclasses.replace(p, attacked=None) for p in smoothing().points)
    (text,) = said(smoothing(points=points, attack="", compared=0, crossings=0))
    assert text.endswith(
        "No attack on the smoothed classifier in L2 was run beside it: how many more images are "
        "robust nobody knows."
    )


def test_a_crossing_opens_the_report_and_chance_does_not() -> None:
    assert crossing_sentences(certified_report()) == ()
    crossed = certified_report(certificates=(bounds(crossings=1), smoothing()))
    first = headline(crossed)[0]
    assert (
        first
        == crossing_sentences(crossed)[0]
        == (
            "A proof and an attack contradict each other. The proof is IntervalBounds; attacks tried "
            "61 proven cases, and in 1 of them found an adversarial image nearer than the proven "
            "radius. One of them is wrong, so neither can be trusted."
        )
    )
    beyond = certified_report(certificates=(bounds(), smoothing(crossings=2)))
    assert "chance explains at most 1" in headline(beyond)[0]
    assert "But attacks tried 70 proven cases" in certificate_sentences(beyond)[1]


def test_a_certificate_that_broke_off_says_where_nothing_is_proven() -> None:
    (text,) = said(bounds(failed=2, failure="RuntimeError: no memory"))
    assert "broke off on 2 cases (RuntimeError: no memory); nothing counts as proven" in text


def test_a_terminal_gets_a_line_each() -> None:
    first, second = certificate_lines(certified_report())
    assert first == "IntervalBounds proves 59 % [49, 69] at L∞ 1/255, attacks leave 83 % [73, 93]"
    assert "(smoothed classifier)" in second
    assert certificate_sentences(report()) == certificate_lines(report()) == ()
