"""The contract of a task: what a label is, who is attacked and for what, what is scored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from attacks import Attack, AttackFunction
from robust.cases.case import Case, Cases, Entry
from robust.metrics.arrays import Array, Mask
from robust.metrics.by_group import ByGroup
from robust.metrics.scores import Condition
from robust.plan.spec import Plan
from robust.records import Estimate, Scores
from robust.records.inputs import AuditedTask
from robust.tasks.bags import BagLimits


@dataclass(frozen=True)
class Batch:
    """Cases of one shape, ready to be attacked."""

    rows: tuple[int, ...]
    """Their places in `Cases`."""
    cases: tuple[Case, ...]
    x: Tensor
    """Clean images `(n, c, *space)`."""
    y: Tensor
    """Labels in the form of the task."""
    kept: Tensor
    """What the task keeps of the clean predictions, `(n, a)`."""

    def take(self, places: Sequence[int]) -> Batch:
        """Only the cases at these places of the batch."""
        if len(places) == len(self.rows):
            return self
        index = torch.as_tensor(places, dtype=torch.long, device=self.x.device)
        return Batch(
            tuple(self.rows[i] for i in places),
            tuple(self.cases[i] for i in places),
            self.x[index],
            self.y[index],
            self.kept[index],
        )


Found = tuple[Array, Mask]
"""What is kept of the images of one attack `(n, a)`, and which cases have one that counts `(n,)`.
"""


class TaskScorer(Protocol):
    """Scores conditions of one set of cases; all numbers share the same resamples."""

    @property
    def by_group(self) -> ByGroup:
        """Resamples of the cases' groups."""

    def damage(self, kept: Array) -> Array:
        """How far attacks have come, from what is kept `(n, a)`: `(n,)`, larger is worse."""

    def errors(self, kept: Array) -> Array:
        """How wrong each case is `(n,)`, in [0, 1], from what is kept `(n, a)`."""

    def error(self, errors: Array) -> Estimate:
        """The error of all cases, from those of each `(n,)`, or from means of several of them."""

    def score(
        self, condition: Condition, populations: Sequence[Mask], pushed: Array | None = None
    ) -> list[Scores]:
        """The scores of each population `(n,)` bool."""

    def pushed(self, clean: Condition, found: Iterable[Found]) -> Array | None:
        """Scores `(n, s)` that an attacker on the AUC reaches; None where there is no AUC."""

    def by_part(self, worst: Condition, found: Iterable[Found]) -> Condition:
        """The worst case, each part of a case (a structure) at the image that hurts it most."""

    def confusion(self, condition: Condition) -> tuple[tuple[int, ...], ...]:
        """Cases by label and prediction; empty where that has no meaning."""


class Task(Protocol):
    """What a model is asked, and what an attacker wants. The engine knows tasks by this alone.

    What a run keeps of the logits of a case is a vector `(a,)` that the task makes and reads.
    """

    @property
    def record(self) -> AuditedTask:
        """As the report names it."""

    @property
    def class_count(self) -> int:
        """Number of classes of a logit vector; 0 where logits are dense."""

    @property
    def bags(self) -> BagLimits | None:
        """The instances that an attacker may touch, where each image is a bag; else None."""

    @property
    def attacks_misread(self) -> bool:
        """Whether cases misread without attack are attacked, too, for the attacker's AUC."""

    def labels(self, cases: Sequence[Case], like: Tensor) -> Tensor:
        """The labels of cases of one shape as attacks see them, on the device of `like`."""

    def check(self, logits: Tensor, cases: Sequence[Case]) -> None:
        """InputError for logits that are not finite or do not fit the labels."""

    def check_attack(self, label: str, attack: Attack) -> None:
        """InputError for an attack that cannot serve this task."""

    def check_stages(self, plan: Plan, *, twin: bool) -> None:
        """InputError for a stage that a plan asks for and that has no meaning here.

        `twin` says whether there is a deployed version to compare with.
        """

    def keep(self, logits: Tensor, cases: Sequence[Case]) -> Array:
        """What is kept of the logits of cases: `(n, a)` float64."""

    def said(self, kept: Array) -> list[str]:
        """What the model answered of each case, for a table: the class, or the Dice of outlines."""

    def compared(self, kept: Array) -> Array:
        """Values `(n, v)` by which one knows a network again, from what is kept `(n, a)`.

        A difference of a thousandth of their spread is rounding.
        """

    def right(self, kept: Array, entries: Sequence[Entry | Case]) -> Mask:
        """Which cases are right, from what is kept `(n, a)`: `(n,)`."""

    def eligible(self, kept: Array, entries: Sequence[Entry | Case]) -> Mask:
        """For which cases the attacker's goal makes sense, right or not: `(n,)`."""

    def targets(self, batch: Batch) -> Tensor | None:
        """What to steer each case to, in the form of labels; None: anything but the label."""

    def any_error(self) -> Task:
        """The same task with the goal of any error."""

    def universal_targets(self, batch: Batch) -> list[tuple[list[int], Tensor | None]]:
        """The targets to try for one change of all images: places in the batch, and theirs."""

    def success(self, logits: Tensor, batch: Batch) -> Tensor:
        """Whether logits reach the goal: `(n,)` bool; NaN or infinite ones never do."""

    def until_success(self, attack: AttackFunction, batch: Batch) -> AttackFunction:
        """An attack, already in its early-stopping form, that ends once the cases have fallen."""

    def region(self, batch: Batch) -> Tensor | None:
        """Where the attacker may touch, `(n, 1, *space)` bool; None: everywhere."""

    def outlines(self, batch: Batch, logits: Tensor | None = None) -> Tensor | None:
        """Where each structure is, `(n, S, *space)` bool: by these logits, or without in truth.

        None where there are no structures.
        """

    def scorer(self, by_group: ByGroup, cases: Cases, clean: Condition) -> TaskScorer:
        """What scores these cases, whose clean predictions are `clean`."""
