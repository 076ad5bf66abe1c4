"""Sentences on corruptions."""

from __future__ import annotations

import dataclasses

from robust.report.text.corruptions import corruption_lines, corruption_sentences
from tests.records.test_report import report
from tests.report.certified import KINDS, corruptions, share
from tests.report.outlined import outline_report


def said(**changes: object) -> tuple[str, ...]:
    return corruption_sentences(report(corruptions=corruptions(**changes)))


def test_it_says_what_corruption_costs_and_which_kind_is_worst() -> None:
    first, worst, reference = said()
    assert "(chest X-ray, 11 kinds at severities 1 to 5)" in first
    assert (
        "Error means balanced error: the share of images that is misread, as the mean over the "
        "classes. It is 10 [0, 20] of 100 without corruption, and 29 [19, 39] of 100 in the mean "
        "over all kinds and severities."
    ) in first
    assert worst.startswith("The worst is gaussian_noise at severity 5: 85 [75, 95] of 100, a ")
    assert worst.endswith("an attack found no farther from it, the error is 90 [80, 100] of 100.")
    assert reference == (
        "The reference is AlexNet, with an error of 15 [5, 25] of 100 without corruption and 31 "
        "[21, 41] with it. BE is 0.973: the error on corrupted images is smaller than that of the "
        "reference. rBE is 1.100: the loss by corruption is larger than that of the reference."
    )


def test_attacks_that_do_no_worse_are_said_to_be_weak_there() -> None:
    scores = corruptions().scores
    weak = tuple(
        dataclasses.replace(one, attacked=share(0.3)) if one.kind == "gaussian_noise" else one
        for one in scores
    )
    assert said(scores=weak)[1].endswith(
        "That is no worse: no attack of the audit went that far, or it is weak there."
    )
    none = tuple(dataclasses.replace(one, attacked=None) for one in scores)
    assert "No attack made images that near" in said(scores=none)[1]


def test_without_a_reference_there_is_no_ratio_and_one_that_loses_nothing_has_no_rbe() -> None:
    assert len(said(reference="", be=None, rbe=None)) == 2
    assert said(rbe=None)[2].endswith("no rBE, because the reference loses nothing.")


def test_outlines_are_judged_by_dice() -> None:
    shown = dataclasses.replace(outline_report(), corruptions=corruptions())
    assert "Error means 1 - mean Dice: what the outlines lack" in corruption_sentences(shown)[0]
    assert corruption_lines(shown)[0].startswith("1 - mean Dice: 10 % [0, 20], corrupted 29 %")


def test_a_terminal_gets_one_line() -> None:
    (line,) = corruption_lines(report(corruptions=corruptions()))
    assert line.startswith("balanced error: 10 % [0, 20], corrupted 29 % [19, 39]; gaussian_noise")
    assert len(KINDS) == 11 and corruption_lines(report()) == corruption_sentences(report()) == ()
