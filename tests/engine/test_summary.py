"""Rows of the report: minimum-norm attacks, the worst case, attacks that are the same."""

from __future__ import annotations

from attacks import PGD, CarliniWagnerL2, MarginPGD
from robust.auditing import audit
from tests.engine.nets import BRIEF, classifier, phantoms


def test_minimum_norm_rows_and_the_worst_case_in_l2() -> None:
    report = audit(
        classifier(),
        phantoms(),
        attacks=[CarliniWagnerL2(steps=30, binary_steps=5), "FGSM"],
        norm="L2",
        eps=[0.05, 5.0],
        **BRIEF,
    )
    nearest = report.result("CarliniWagnerL2")
    assert nearest.eps is None and nearest.scores.success and nearest.scores.success.value == 1.0
    assert nearest.scores.median_l2 is not None
    worst = report.worst
    assert worst.eps == 5.0 and worst.scores.robust_accuracy
    assert worst.scores.robust_accuracy.value == 0.0
    assert worst.scores.median_l2 is not None
    assert report.worst_cases[0].scores.success is not None
    small = report.worst_cases[0].scores.success.value
    assert 0 <= small <= 1


def test_with_two_classes_the_same_attack_runs_once() -> None:
    twins = [PGD(start="image", step_size=0.1, schedule="constant"), MarginPGD()]
    report = audit(classifier(), phantoms(), attacks=twins, eps=["2/255"], **BRIEF)
    first, second = report.rows
    assert (first.same_as, second.same_as) == (None, "PGD")
    assert second.scores == first.scores
    assert any(flag.name == "the same attack twice" for flag in report.flags)
