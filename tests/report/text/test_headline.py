"""The lead says what the numbers say, and a verdict looks at the whole interval."""

from __future__ import annotations

import dataclasses

import pytest

from robust.records import AttackResult, AuditedData, AuditedModel, Estimate, Report, Scores
from robust.report.text.classification import RULE
from robust.report.text.headline import headline, verdicts
from tests.records.test_report import report


def judged(
    low: float, high: float, *, value: float | None = None, attacked: int = 100, failed: int = 0
) -> AttackResult:
    """A worst case of which this share still reads correctly; success is the rest."""
    middle = (low + high) / 2 if value is None else value
    kept = Estimate(middle, low, high, 90, 40)
    fell = Estimate(1 - middle, 1 - high, 1 - low, 90, 40)
    scores = Scores(accuracy=kept, robust_accuracy=kept, success=fell)
    return AttackResult(
        "worst case", "Linf", 1 / 255, "exact", scores, attacked=attacked, failed=failed
    )


@pytest.mark.parametrize(
    ("row", "word"),
    [
        (judged(0.0, 0.09), "fails"),
        (judged(0.0, 0.11), "mostly fooled"),
        (judged(0.2, 0.49), "mostly fooled"),
        (judged(0.2, 0.51), "undecided"),
        (judged(0.49, 0.8), "undecided"),
        (judged(0.51, 0.89), "partly robust"),
        (judged(0.51, 0.95), "undecided"),
        (judged(0.69, 1.0, value=1.0), "undecided"),
        (judged(0.91, 1.0), "robust"),
        (judged(0.91, 1.0, failed=5), "robust"),
        (judged(0.91, 1.0, failed=6), "undecided"),
        (judged(0.0, 0.05, failed=6), "undecided"),
        (
            AttackResult(
                "worst case", "Linf", 1 / 255, "exact", Scores(None), attacked=9, failed=9
            ),
            "undecided",
        ),
    ],
)
def test_a_verdict_looks_at_the_whole_interval(row: AttackResult, word: str) -> None:
    shown = dataclasses.replace(report(), worst_cases=(row,))
    assert [v.word for v in verdicts(shown)] == [word]
    assert word in RULE.lower()


def classes(before: dict[str, float], after: dict[str, float]) -> Report:
    def rate(value: float) -> Estimate:
        return Estimate(value, max(0, value - 0.1), min(1, value + 0.1), 50, 50)

    def row(recall: dict[str, float], attack: str) -> AttackResult:
        scores = Scores(
            rate(0.5), rate(0.5), rate(0.5), recall={k: rate(v) for k, v in recall.items()}
        )
        return AttackResult(attack, "Linf", 1 / 255, "exact", scores, attacked=50)

    plain = row(before, "clean")
    audit_ = {"target": None, "goal": "error"}
    return Report(
        "t", plain, (), (row(after, "worst case"),), (), (), {"audit": audit_},
        AuditedModel({}, "", "softmax", 0.5), AuditedData("", "test", 50, 50, {}), {}, "",
    )  # fmt: skip


def test_the_class_that_suffers_most_is_the_one_that_lost_most() -> None:
    (*_, last) = headline(classes({"a": 0.2, "b": 0.9, "c": 1.0}, {"a": 0.2, "b": 0.5, "c": 0.8}))
    assert last == (
        "Under this attack, class 'b' is affected most: of 100 of its images, the model reads "
        "50 [40, 60] correctly, down from 90 [80, 100]."
    )
    assert len(headline(classes({"a": 0.2, "b": 0.9}, {"a": 0.2, "b": 0.9}))) == 2


@pytest.mark.parametrize(
    ("fell", "said"),
    [
        (0.0, "none of them [0, 5]."),
        (0.004, "0.4 [0, 5]."),
        (0.5, "50 [45, 55]."),
        (0.89, "89 [84, 94]."),
        (0.94, "all but 6 [1, 11]."),
        (0.9996, "all but 0.04 [0, 5]."),
        (1.0, "all of them [95, 100]."),
    ],
)
def test_an_amount_in_words(fell: float, said: str) -> None:
    made = classes({"a": 1.0}, {"a": 1.0})
    success = Estimate(fell, max(0.0, fell - 0.05), min(1.0, fell + 0.05), 50, 50)
    (row,) = made.worst_cases
    row = dataclasses.replace(row, scores=dataclasses.replace(row.scores, success=success))
    sentence = headline(dataclasses.replace(made, worst_cases=(row,)))[1]
    assert sentence == (
        "Of 100 images that the model reads correctly, an attacker who may change each pixel by up "
        f"to 1 of 255 grey levels changes the reading of {said}"
    )
