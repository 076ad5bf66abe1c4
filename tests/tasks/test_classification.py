"""Attack goals: eligible cases, targets and success, alone and in an audit."""

from __future__ import annotations

from typing import Any

import torch

from robust.auditing import audit
from robust.tasks.classification import Classification
from robust.tasks.contract import Batch
from tests.engine.nets import classifier, phantoms


def test_goals_with_several_classes() -> None:
    y = torch.tensor([0, 1, 2])
    miss = Classification("miss", findings=(1, 2))
    assert miss.applies(y).tolist() == [False, True, True]
    assert miss.reached(torch.tensor([0, 2, 0]), y).tolist() == [False, False, True]
    batch = Batch((0,), (), torch.zeros(1, 1, 2, 2), y[:1], torch.tensor([[0.0, 5.0, 1.0]]))
    targets = miss.targets(batch)
    assert targets is not None and targets.tolist() == [0]
    aimed = Classification("error", (), target=2)
    assert aimed.applies(y).tolist() == [True, True, False]
    assert aimed.reached(torch.tensor([2, 1, 2]), y).tolist() == [True, False, True]


def test_a_miss_attacks_findings_only_and_a_false_alarm_the_others() -> None:
    options: dict[str, Any] = {"attacks": ["PGD"], "eps": ["4/255"], "doubts": {"probe": False}}
    miss = audit(classifier(), phantoms(40), **options, goal="miss")
    alarm = audit(classifier(), phantoms(40), **options, goal="false alarm")
    both = audit(classifier(), phantoms(40), **options)
    assert miss.rows[0].attacked > 0 and alarm.rows[0].attacked > 0
    assert miss.rows[0].attacked + alarm.rows[0].attacked == both.rows[0].attacked
    assert miss.rows[0].scores.false_alarms is None and alarm.rows[0].scores.misses is None
    assert miss.rows[0].scores.misses == both.rows[0].scores.misses
    assert alarm.rows[0].scores.false_alarms == both.rows[0].scores.false_alarms
