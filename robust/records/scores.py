"""Results of a classifier clean and under attack: scores, subgroups, one row per attack and eps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import overload

from robust.records.estimate import Estimate


@dataclass(frozen=True)
class Scores:
    """How the classifier fares on one population under one condition.

    An entry is None where it has no meaning (no case with a finding, no success to measure).
    """

    accuracy: Estimate | None
    """On all cases; those wrong when clean stay as they are. As all that counts every case, None
    where more than 5 % of the attacked ones came to no verdict."""
    robust_accuracy: Estimate | None = None
    """On cases that are right when clean and were attacked."""
    success: Estimate | None = None
    """Share of attacked cases on which the attack reached its goal."""
    misses: Estimate | None = None
    """Of cases with the finding, right when clean: the share turned into no finding."""
    false_alarms: Estimate | None = None
    """Of cases without the finding, right when clean: the share turned into a finding."""
    sensitivity: Estimate | None = None
    specificity: Estimate | None = None
    auc: Estimate | None = None
    """Finding against no finding; macro one-against-rest where the plan names no finding."""
    recall: Mapping[str, Estimate | None] = field(default_factory=dict)
    """Of each class by name."""
    median_l2: Estimate | None = None
    """Distance of the successful adversarial images, in [0, 1] units."""
    median_linf: Estimate | None = None


@dataclass(frozen=True)
class Subgroup:
    """The scores of the cases that share one value of a metadata column."""

    column: str
    value: str
    cases: int
    scores: Scores


class _Score:
    """An entry of `Scores`, asked of the row itself: ValueError where it has no meaning there.

    `row.scores.auc` may be None; `row.auc.low > 0.8` is a claim, and a claim about a number that
    does not exist must fail with the reason.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, row: None, owner: type) -> _Score: ...
    @overload
    def __get__(self, row: AttackResult, owner: type) -> Estimate: ...
    def __get__(self, row: AttackResult | None, owner: type) -> Estimate | _Score:
        if row is None:
            return self
        estimate: Estimate | None = getattr(row.scores, self._name)
        if estimate is None:
            what = self._name.replace("_", " ")
            raise ValueError(
                f"{row.condition} has no {what}: {row.attacked} cases attacked, "
                f"{row.failed} of them without a verdict"
            )
        return estimate


@dataclass(frozen=True, repr=False)
class AttackResult:
    """One condition: an attack at an eps, the worst case over all attacks, or no attack at all.

    `row.robust_accuracy` and its like are the entries of `scores`, or a ValueError for None.
    """

    attack: str
    """Its name in the plan; `clean`, or `worst case`."""
    norm: str
    eps: float | None
    """In [0, 1] units of the displayed image; None for a minimum-norm attack without a bound."""
    kind: str
    """`clean`; `exact`: run in full on every case; `curve`: stopped at the first success."""
    scores: Scores
    subgroups: tuple[Subgroup, ...] = ()
    attacked: int = 0
    """Cases the attack was run on: right when clean, and of the kind that the goal names."""
    failed: int = 0
    """Attacked cases without a verdict (crash, NaN, limits broken): never counted as robust."""
    saturated: int = 0
    """Cases whose cross-entropy saturated: there an attack on it climbs the margin instead."""
    passes: float = 0.0
    """Forward and backward passes a case, on average over the attacked ones."""
    baseline: bool = False
    """Random noise, with which attacks are compared, whatever its name in the plan."""
    same_as: str | None = None
    """The attack whose run this row repeats, where both are the same for this model."""
    confusion: tuple[tuple[int, ...], ...] = ()
    """Cases by label (down) and prediction (across), classes in the order of `data.classes`, those
    without a verdict left out; empty beyond 20 classes."""

    accuracy = _Score()
    robust_accuracy = _Score()
    success = _Score()
    misses = _Score()
    false_alarms = _Score()
    sensitivity = _Score()
    specificity = _Score()
    auc = _Score()

    @property
    def condition(self) -> str:
        """`PGD, Linf 4/255`."""
        if self.kind == "clean":
            return "clean"
        if self.eps is None:
            return f"{self.attack}, {self.norm} nearest"
        eps = f"{self.eps * 255:.4g}/255" if self.norm == "Linf" else f"{self.eps:.4g}"
        return f"{self.attack}, {self.norm} {eps}"

    def __repr__(self) -> str:
        """What a failed assert shows of it: the condition, and how many cases stand behind it."""
        name = "accuracy" if self.kind == "clean" else "robust_accuracy"
        estimate: Estimate | None = getattr(self.scores, name)
        if estimate is None:
            return f"<{self.condition}: no {name}, {self.attacked} attacked>"
        return (
            f"<{self.condition}: {name} {estimate.value:.3f} "
            f"[{estimate.low:.3f}, {estimate.high:.3f}], "
            f"{estimate.cases} cases, {estimate.groups} groups>"
        )


@dataclass(frozen=True)
class Difficulty:
    """The least eps of the plan at which an attack succeeds on at least 99 % of attacked cases."""

    attack: str
    norm: str
    eps: float | None
    """None: not reached at any eps of the plan."""


@dataclass(frozen=True)
class AccuracyCurve:
    """Robust accuracy at every eps, by the nearest image that minimum-norm attacks found."""

    attacks: tuple[str, ...]
    norm: str
    eps: tuple[float, ...]
    """Ascending from 0; at each further one a case falls, thinned out where they are many."""
    robust_accuracy: tuple[Estimate, ...]
    """At each eps, until the next."""
