"""Results of a classifier without and under attack: scores, subgroups, accuracy curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import overload

from robust.records.estimate import Estimate, interval_text
from robust.units import format_threat


@dataclass(frozen=True)
class SizeGroup:
    """The cases whose structure is small, middling or large: a third of them each."""

    name: str
    """`small`, `medium` or `large`."""
    cases: int
    """Number of cases."""
    smallest: float
    """Smallest true volume, in cubic or square millimetres, or in pixels."""
    largest: float
    """Largest true volume."""
    dice: Estimate | None
    """Mean Dice of the structure."""


@dataclass(frozen=True)
class OutlineScores:
    """How well one structure is outlined; the cases with it, and those where it is predicted.

    A structure that is missed has Dice, IoU and surface Dice 0, and as HD95 the diagonal of its
    image. One that is predicted where there is none has them, too. Where there is none and none is
    predicted, the case does not count.
    """

    cases: int
    """Number of cases with the structure."""
    dice: Estimate | None
    """Mean Dice, in [0, 1]."""
    iou: Estimate | None
    """Mean intersection over union, in [0, 1]."""
    surface_dice: Estimate | None
    """Mean surface Dice: the share of both borders that lies within the tolerance of the other."""
    hd95: Estimate | None
    """Mean 95th percentile of the distances between the borders, in mm or pixels."""
    volume_error: Estimate | None
    """Mean of |predicted - true| / true volume, over the cases with the structure. Each counts at
    most 1, so that nothing is worse than to miss the structure."""
    missed: Estimate | None
    """Share of the cases with the structure in which no pixel of it is found."""
    invented: Estimate | None
    """Share of the cases without the structure in which it is predicted."""
    by_size: tuple[SizeGroup, ...] = ()
    """Dice by the true size of the structure; empty where there are too few cases."""


@dataclass(frozen=True)
class Scores:
    """How well the classifier does on one population of cases under one condition.

    A score is None where it has no meaning (no case with a finding, no success to measure). Scores
    over all cases keep the clean prediction of cases that were not attacked. They are None where
    more than 5 % of the attacked cases could not be evaluated.
    """

    accuracy: Estimate | None
    """Share of all cases that are correct, including those already misread before the attack. Of
    outlines: that are outlined well."""
    robust_accuracy: Estimate | None = None
    """Share of the attacked cases, all correct without attack, that stay correct."""
    success: Estimate | None = None
    """Share of the attacked cases on which the attack reached its goal."""
    misses: Estimate | None = None
    """Share of the attacked cases with the finding that are turned into no finding."""
    false_alarms: Estimate | None = None
    """Share of the attacked cases without the finding that are turned into a finding."""
    sensitivity: Estimate | None = None
    """Share of all cases with the finding that are read as a finding."""
    specificity: Estimate | None = None
    """Share of all cases without the finding that are read as no finding."""
    auc: Estimate | None = None
    """AUC of finding against no finding over all cases; the mean over classes, each against the
    rest, where the plan names no finding."""
    attacker_auc: Estimate | None = None
    """The same AUC if the attacker aims at it: of every case that the attack goal applies to, also
    of those misread without attack, the image that was found within eps and moves its score
    furthest to the wrong side, whether or not it reached the goal. Never above `auc`. Only of a
    worst case; an upper bound, as every figure under attack."""
    ece: Estimate | None = None
    """Expected calibration error over all cases, top label, 15 bins of equal width (Guo et al.
    2017): how far confidences are from the share that is right, on average, in [0, 1]. It is above
    0 by chance alone; `ece_chance` says how much. None where the model gives no probabilities: it
    answers labels alone, or outlines structures."""
    ece_chance: float | None = None
    """What `ece` would be on average if these confidences were exactly right, on as many cases,
    independent of each other."""
    brier: Estimate | None = None
    """Mean Brier score over all cases: squared differences between probabilities and truth, summed
    over the classes, in [0, 2]. None as `ece`."""
    recall: Mapping[str, Estimate | None] = field(default_factory=dict)
    """By class name: the share of all cases of the class that are read as it."""
    median_l2: Estimate | None = None
    """Median L2 distance of successful adversarial images, in [0, 1] pixel units."""
    median_linf: Estimate | None = None
    """Median L-infinity distance of successful adversarial images, in [0, 1] pixel units."""
    median_l1: Estimate | None = None
    """Median L1 distance of successful adversarial images, in [0, 1] pixel units."""
    median_l0: Estimate | None = None
    """Median number of pixels that successful adversarial images change."""
    dice: Estimate | None = None
    """Segmentation: mean Dice of all cases, that of a case being the mean over its structures."""
    outlines: Mapping[str, OutlineScores] = field(default_factory=dict)
    """Segmentation: the scores of each structure, by name; the background is none."""


@dataclass(frozen=True)
class Subgroup:
    """The scores of the cases that share one value of a metadata column."""

    column: str
    """Name of the metadata column."""
    value: str
    """The value that the cases share; `unknown` where a case has none."""
    cases: int
    """Number of cases, attacked or not."""
    scores: Scores
    """Scores of these cases alone."""


class _Score:
    """A score of `Scores` as an attribute of the result: ValueError where it is None.

    `result.scores.auc` may be None; `result.auc.low > 0.8` is a claim, and a claim about a number
    that does not exist must fail with the reason.
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
                f"{row.failed} of them could not be evaluated"
            )
        return estimate


@dataclass(frozen=True, repr=False)
class AttackResult:
    """One condition: an attack at an eps, the worst case over all attacks, or no attack at all.

    `result.robust_accuracy` and the like are the scores of `scores`, or a ValueError for None.
    """

    attack: str
    """Name of the attack in the plan; `clean` without attack, or `worst case` over all attacks."""
    norm: str
    """`Linf`, `L2`, `L2-slice`, `L1` or `L0`; empty without attack."""
    eps: float | None
    """In [0, 1] units of the displayed image, in L0 a number of pixels; None for a minimum-norm
    attack without a bound."""
    kind: str
    """`clean`; `exact`: run in full on every case; `curve`: stopped at the first success."""
    scores: Scores
    """Scores over all cases."""
    subgroups: tuple[Subgroup, ...] = ()
    """The same scores by metadata column and value."""
    attacked: int = 0
    """Number of cases attacked: correct without attack, and of the kind that the goal names."""
    failed: int = 0
    """Attacked cases that could not be evaluated (crash, NaN, limits broken): never counted as
    robust."""
    saturated: int = 0
    """Attacked cases whose cross-entropy saturated: there an attack on it climbs the margin."""
    passes: float = 0.0
    """Forward and backward passes per attacked case, on average."""
    same_as: str | None = None
    """Name of the attack whose run this result repeats, where both are the same for this model;
    None where it has its own."""
    confusion: tuple[tuple[int, ...], ...] = ()
    """Confusion matrix: number of cases by label (row) and prediction (column), classes in the
    order of `AuditedData.classes`. Cases that could not be evaluated are left out. Empty beyond 20
    classes."""
    baseline: bool = False
    """Whether the attack is a baseline without knowledge of the model (random noise), which other
    attacks should beat."""

    accuracy = _Score()
    robust_accuracy = _Score()
    success = _Score()
    misses = _Score()
    false_alarms = _Score()
    sensitivity = _Score()
    specificity = _Score()
    auc = _Score()
    attacker_auc = _Score()
    ece = _Score()
    brier = _Score()
    dice = _Score()

    @property
    def outlines(self) -> Mapping[str, OutlineScores]:
        """The scores of each structure, by name: `result.outlines["lung"].dice`."""
        return self.scores.outlines

    @property
    def condition(self) -> str:
        """`PGD, Linf 4/255`."""
        if self.kind == "clean":
            return "clean"
        return f"{self.attack}, {format_threat(self.norm, self.eps, default='')}"

    def __repr__(self) -> str:
        """One line for a failed assert: the condition, the score, and the number of cases."""
        name = "accuracy" if self.kind == "clean" else "robust_accuracy"
        estimate: Estimate | None = getattr(self.scores, name)
        if estimate is None:
            return f"<{self.condition}: no {name}, {self.attacked} attacked>"
        return (
            f"<{self.condition}: {name} {estimate.value:.3f} "
            f"{interval_text(estimate)}, "
            f"{estimate.cases} cases, {estimate.groups} groups>"
        )


@dataclass(frozen=True)
class Difficulty:
    """Smallest eps of the plan at which an attack succeeds on at least 99 % of attacked cases."""

    attack: str
    """Name of the attack in the plan."""
    norm: str
    """`Linf`, `L2`, `L2-slice`, `L1` or `L0`."""
    eps: float | None
    """In [0, 1] units of the displayed image, in L0 a number of pixels; None where no eps of the
    plan reaches 99 %."""


@dataclass(frozen=True)
class AccuracyCurve:
    """Robust accuracy at every eps, from the nearest image that minimum-norm attacks found."""

    attacks: tuple[str, ...]
    """Names of the minimum-norm attacks in the plan."""
    norm: str
    """`Linf`, `L2`, `L2-slice`, `L1` or `L0`."""
    eps: tuple[float, ...]
    """Ascending from 0, in the units of eps; at each further one another case is misread. Thinned
    out where they are many."""
    robust_accuracy: tuple[Estimate, ...]
    """Robust accuracy from each eps up to the next."""
