"""Classification: a label is a class, and a case falls where another class is predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from attacks import Attack, AttackFunction
from robust.cases.case import Case, Cases, Entry
from robust.cases.consistency import check_outputs
from robust.errors import InputError, did_you_mean
from robust.metrics.arrays import Array, Mask
from robust.metrics.by_group import ByGroup
from robust.metrics.calibration import answers_labels
from robust.metrics.scores import Condition, Scorer
from robust.plan.spec import AuditSpec, Plan
from robust.records.inputs import AuditedTask
from robust.tasks.bags import BagLimits
from robust.tasks.contract import Batch
from robust.tasks.region import box_region, mask_region, touch_of

MOST_TARGETS = 10
"""Most target labels that one change of all images is tried for, in the order of the classes."""
GOALS = ("error", "miss", "false alarm")


@dataclass(frozen=True)
class Classification:
    """`error`: any wrong label. `miss`: hide a finding. `false alarm`: invent one.

    With `target` (a class index) the goal is that label.
    """

    goal: str
    findings: tuple[int, ...]
    target: int | None = None
    classes: tuple[str, ...] = ()
    """Names of the classes, in the order of the logits."""
    touch: str = "image"
    """Where the attacker may touch: `image`, `inside` or `outside` the box or the region."""
    box: tuple[float, ...] | None = None
    """Left, top, right and bottom, as shares of the image."""
    bags: BagLimits | None = None
    """The instances that an attacker may touch, where each image is a bag."""

    @property
    def record(self) -> AuditedTask:
        """As the report names it."""
        bags = self.bags
        return AuditedTask(
            touch=self.touch,
            box=self.box,
            tile=None if bags is None else bags.tile,
            instances=None if bags is None else bags.most,
        )

    @property
    def class_count(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def attacks_misread(self) -> bool:
        """The attacker's AUC needs them."""
        return True

    def labels(self, cases: Sequence[Case], like: Tensor) -> Tensor:
        """`(n,)` int64."""
        return torch.tensor([case.label for case in cases], device=like.device)

    def check(self, logits: Tensor, cases: Sequence[Case]) -> None:
        """InputError for logits `(n, k)` that are not finite, or of another number of classes."""
        check_outputs(logits, self.classes, ids=[case.id for case in cases])

    def check_attack(self, label: str, attack: Attack) -> None:
        """InputError for an attack that weighs pixels against one another."""
        if attack.traits.dense_only:
            raise InputError(
                f"{label} attacks outlines, and the data have a class for each image; "
                f"`robust list attacks` says which attack serves which"
            )

    def check_stages(self, plan: Plan, *, twin: bool) -> None:
        """InputError for a stage that would touch pixels which the attacker may not."""
        few = self.bags is not None and self.bags.most is not None
        if self.touch == "image" and not few:
            return
        scenarios, adaptive = plan.scenarios, bool(plan.detectors) and plan.detection.adaptive > 0
        refused = {
            "[scenarios] universal": (bool(scenarios.universal), "remove it"),
            "[scenarios] patch": (bool(scenarios.patch), "remove it"),
            "[scenarios] spatial": (scenarios.spatial is not None, "remove it"),
            "[scenarios] queries": (bool(scenarios.queries), "remove it"),
            "[twin], whose attack sees labels alone,": (twin, "remove it"),
            "the adaptive attack on detectors": (adaptive, "set adaptive = 0 in [detection]"),
        }
        for what, (asked, remedy) in refused.items():
            if asked:
                part = f"{self.touch} the {'box' if self.box else 'region'}"
                part = f"{plan.audit.instances} instances" if few else part
                raise InputError(
                    f"{what} changes the whole image, and [audit] lets the attacker touch a part "
                    f"({part}); {remedy}"
                )

    def keep(self, logits: Tensor, cases: Sequence[Case]) -> Array:
        """The logits `(n, k)` themselves."""
        return logits.double().cpu().numpy()

    def said(self, kept: Array) -> list[str]:
        """The predicted class."""
        return [self.classes[number] for number in kept.argmax(1).tolist()]

    def compared(self, kept: Array) -> Array:
        """The logits."""
        return kept

    def right(self, kept: Array, entries: Sequence[Entry | Case]) -> Mask:
        """Where the label is predicted."""
        return np.asarray(kept.argmax(1) == [entry.label for entry in entries])

    def eligible(self, kept: Array, entries: Sequence[Entry | Case]) -> Mask:
        """For which labels the goal makes sense."""
        found: Mask = self.applies(torch.tensor([entry.label for entry in entries])).numpy()
        return found

    def applies(self, y: Tensor) -> Tensor:
        """For which labels `(n,)` the goal makes sense."""
        if self.target is not None:
            return y != self.target
        if self.goal == "error":
            return torch.ones_like(y, dtype=torch.bool)
        return self._finding(y) if self.goal == "miss" else ~self._finding(y)

    def reached(self, prediction: Tensor, y: Tensor) -> Tensor:
        """Whether predicted classes `(n,)` reach the goal: `(n,)` bool."""
        if self.target is not None:
            return prediction == self.target
        if self.goal == "error":
            return prediction != y
        return self._finding(prediction) != self._finding(y)

    def success(self, logits: Tensor, batch: Batch) -> Tensor:
        """Whether logits `(n, k)` reach the goal: `(n,)` bool; NaN or infinite ones never do."""
        return self.reached(logits.argmax(1), batch.y) & logits.isfinite().all(1)

    def targets(self, batch: Batch) -> Tensor | None:
        """The label to steer each case to `(n,)`; None where any will do.

        A miss among several classes is steered to the likeliest class without a finding.
        """
        logits = batch.kept
        if self.target is not None:
            return torch.full_like(logits[:, 0], self.target, dtype=torch.long)
        if self.goal == "error" or logits.shape[1] == 2:
            return None
        labels = torch.arange(logits.shape[1], device=logits.device)
        wanted = self._finding(labels) == (self.goal == "false alarm")
        return logits.masked_fill(~wanted, -torch.inf).argmax(1)

    def any_error(self) -> Classification:
        """The same classes, and any other label will do."""
        return Classification("error", (), None, self.classes, self.touch, self.box, self.bags)

    def universal_targets(self, batch: Batch) -> list[tuple[list[int], Tensor | None]]:
        """Away from every label, and towards each label.

        With two labels alone, the directions from each to the other would cancel out.
        """
        target = self.targets(batch)
        every = list(range(len(batch.rows)))
        if target is not None:
            return [(every, target)]
        labels = batch.kept.shape[1]
        found: list[tuple[list[int], Tensor | None]] = [(every, None)] if labels > 2 else []
        for label in range(min(labels, MOST_TARGETS)):
            if places := (batch.y != label).nonzero().flatten().tolist():
                found.append((places, torch.full_like(batch.y[places], label)))
        return found

    def until_success(self, attack: AttackFunction, batch: Batch) -> AttackFunction:
        """The attack itself: its early-stopping form ends where another label is predicted."""
        return attack

    def region(self, batch: Batch) -> Tensor | None:
        """The box, or the region that the data name; of bags where there are instances."""
        there = None if self.bags is None else self.bags.region(batch.x)
        part = self._part(batch)
        return part if there is None else there if part is None else part & there

    def _part(self, batch: Batch) -> Tensor | None:
        if self.touch == "image":
            return None
        if self.box is not None:
            return box_region(batch.x, self.box, self.touch)
        return mask_region(batch.cases, batch.x, self.touch)

    def outlines(self, batch: Batch, logits: Tensor | None = None) -> None:
        """There are none."""
        return None

    def scorer(self, by_group: ByGroup, cases: Cases, clean: Condition) -> Scorer:
        """Accuracy, AUC and the like."""
        labels = np.array([entry.label for entry in cases.entries])
        return Scorer(
            by_group,
            labels,
            tuple(cases.classes),
            tuple(cases.findings),
            probabilities=not answers_labels(clean.kept),
        )

    def _finding(self, labels: Tensor) -> Tensor:
        return torch.isin(labels, torch.tensor(self.findings, device=labels.device))


ANY_ERROR = Classification("error", ())
"""Any misclassification, whatever the classes are."""


def classification_of(
    spec: AuditSpec, cases: Cases, bags: BagLimits | None = None
) -> Classification:
    """The task of a plan; InputError for a target, a goal or findings that the cases lack."""
    target = spec.target
    if spec.goal not in GOALS:
        raise InputError(
            f"[audit] goal = {spec.goal!r} is for models that outline structures, and the data "
            f"have classes; take it out"
        )
    touch = touch_of(spec)
    if target is not None and target not in cases.classes:
        raise InputError(f"target {target!r} is not a class; {did_you_mean(target, cases.classes)}")
    if spec.goal != "error" and not cases.findings:
        raise InputError(f"goal {spec.goal!r} needs findings: name them in [data]")
    place = None if target is None else cases.classes.index(target)
    return Classification(
        spec.goal, tuple(cases.findings), place, tuple(cases.classes), touch, spec.box, bags
    )
