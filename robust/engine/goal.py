"""Attack goal: eligible cases, target label, success criterion."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.cases.case import Cases, Entry
from robust.engine.run_store import CleanPrediction
from robust.errors import InputError, did_you_mean
from robust.plan.spec import AuditSpec


@dataclass(frozen=True)
class Goal:
    """`error`: any wrong label. `miss`: hide a finding. `false alarm`: invent one.

    With `target` (a class index) the goal is that label.
    """

    name: str
    findings: tuple[int, ...]
    target: int | None = None

    def eligible(self, y: Tensor) -> Tensor:
        """Which cases `(n,)` bool the goal makes sense for."""
        if self.target is not None:
            return y != self.target
        if self.name == "error":
            return torch.ones_like(y, dtype=torch.bool)
        return self._finding(y) if self.name == "miss" else ~self._finding(y)

    def reached(self, prediction: Tensor, y: Tensor) -> Tensor:
        """Whether predictions `(n,)` reach the goal: `(n,)` bool."""
        if self.target is not None:
            return prediction == self.target
        if self.name == "error":
            return prediction != y
        return self._finding(prediction) != self._finding(y)

    def success(self, logits: Tensor, y: Tensor) -> Tensor:
        """Whether logits `(n, k)` reach the goal: `(n,)` bool; NaN or infinite ones never do."""
        return self.reached(logits.argmax(1), y) & logits.isfinite().all(1)

    def targets(self, logits: Tensor) -> Tensor | None:
        """The label to steer each case to `(n,)`, from clean logits; None where any will do.

        A miss among several classes is steered to the likeliest class without a finding.
        """
        if self.target is not None:
            return torch.full_like(logits[:, 0], self.target, dtype=torch.long)
        if self.name == "error" or logits.shape[1] == 2:
            return None
        labels = torch.arange(logits.shape[1], device=logits.device)
        wanted = self._finding(labels) == (self.name == "false alarm")
        return logits.masked_fill(~wanted, -torch.inf).argmax(1)

    def _finding(self, labels: Tensor) -> Tensor:
        return torch.isin(labels, torch.tensor(self.findings, device=labels.device))


ANY_ERROR = Goal("error", ())
"""Any misclassification, whatever the classes are."""


def goal_of(spec: AuditSpec, cases: Cases) -> Goal:
    """The goal of a plan's attacks; InputError for a target or findings that the cases lack."""
    target = spec.target
    if target is not None and target not in cases.classes:
        raise InputError(f"target {target!r} is not a class; {did_you_mean(target, cases.classes)}")
    if spec.goal != "error" and not cases.findings:
        raise InputError(f"goal {spec.goal!r} needs findings: name them in [data]")
    place = None if target is None else cases.classes.index(target)
    return Goal(spec.goal, cases.findings, place)


def misread_cases(
    clean: Iterable[CleanPrediction], entries: Sequence[Entry], goal: Goal
) -> dict[int, CleanPrediction]:
    """By row the cases that are eligible for the goal and misread when clean, as there."""
    wrong = {
        prediction.row: prediction
        for prediction in clean
        if prediction.logits is not None
        and int(prediction.logits.argmax()) != entries[prediction.row].label
    }
    return _eligible(wrong, entries, goal)


def eligible_cases(
    clean: Iterable[CleanPrediction], entries: Sequence[Entry], goal: Goal = ANY_ERROR
) -> dict[int, CleanPrediction]:
    """By row the cases to attack: classified correctly when clean, and eligible for the goal.

    `entries` are those of all cases; `clean` may be a part of their predictions.
    """
    right = {
        prediction.row: prediction
        for prediction in clean
        if prediction.logits is not None
        and int(prediction.logits.argmax()) == entries[prediction.row].label
    }
    return _eligible(right, entries, goal)


def _eligible(
    cases: dict[int, CleanPrediction], entries: Sequence[Entry], goal: Goal
) -> dict[int, CleanPrediction]:
    labels = torch.tensor([entries[row].label for row in cases], dtype=torch.long)
    fitting = goal.eligible(labels).tolist()
    return {row: cases[row] for row, fits in zip(cases, fitting, strict=True) if fits}
