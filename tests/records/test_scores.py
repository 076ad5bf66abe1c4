"""AttackResult: scores as attributes, and what it prints."""

from __future__ import annotations

import pytest

from tests.records.test_report import report


def test_a_result_answers_for_its_scores() -> None:
    made = report()
    assert made.worst.robust_accuracy is made.worst.scores.robust_accuracy
    assert made.clean.accuracy.low == 0.25
    with pytest.raises(ValueError, match=r"^worst case, Linf 51/255 has no auc: 4 cases attacked"):
        _ = made.worst.auc


def test_a_result_shows_itself_in_a_line() -> None:
    made = report()
    shown = "robust_accuracy 0.500 [0.250, 0.750], 8 cases, 4 groups"
    assert repr(made.worst) == f"<worst case, Linf 51/255: {shown}>"
    assert repr(made.rows[2]) == f"<CarliniWagnerL2, L2 nearest: {shown}>"
    assert repr(made.clean) == f"<clean: {shown.removeprefix('robust_')}>"
