"""Evidence for warnings: plain values of a run and of the probe of its model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from robust.cases.case import Cases
from robust.records import AttackResult, Detection


@dataclass(frozen=True)
class Claim:
    """Clean scores that were claimed for the classifier before the audit; None where none was."""

    accuracy: float | None = None
    """Claimed accuracy at a threshold of 0.5, in [0, 1]."""
    auc: float | None = None
    """Claimed AUC, in [0, 1]."""
    by: str = "the plan"
    """Who claims it, as the end of `claimed by`."""


@dataclass(frozen=True)
class Gradients:
    """Gradients of the margin on a few cases, held against what small moves really do."""

    cases: int = 0
    missing: bool = False
    """The model gives no gradient at all."""
    vanishing: int = 0
    """Cases on which a move along the gradient promises next to nothing."""
    still_moving: int = 0
    """Of those, cases whose logits random moves change all the same."""
    judged: int = 0
    """Cases with a gradient large enough to be held against a small move."""
    misleading: int = 0
    """Of those, cases where the move does not give what the gradient promised."""
    steps: int = 0
    """Cases that moves of a tenth of a grey level leave as they are to the last bit, and larger
    ones do not."""


@dataclass(frozen=True)
class Search:
    """Cases that the plan's attacks with gradients left standing, attacked again."""

    norm: str
    eps: float
    cases: int
    """Attacked again."""
    longer: int
    """Of these, felled by more steps and restarts."""
    steps: int
    restarts: int
    black_box: int
    """Of what then still stood, felled without gradients."""
    queries: int
    """Asked at most by the attack without gradients, a case."""


@dataclass(frozen=True)
class Probed:
    """What the probe saw; stored with the run, so that a resumed run ends in the same report."""

    cases: int
    passes: int
    """Forward and backward passes of single images."""
    seconds: float
    repeat: float
    """Largest change of a logit between two passes of one batch, over the spread of logits."""
    neighbours: float
    """The same between a batch and its halves."""
    training: tuple[str, ...]
    """Kinds of parts that stay in training mode."""
    gradients: Gradients
    boundless: int
    """Cases that no attack felled even where it might change every pixel at will."""
    search: Search | None = None
    """None where nothing was left standing."""


@dataclass(frozen=True)
class Stuck:
    """Cases that all iterative attacks at one eps left no nearer to their goal."""

    attacks: str
    """Names of the attacks."""
    norm: str
    """`Linf` or `L2`."""
    eps: float
    """In [0, 1] units of the displayed image."""
    stuck: int
    """Number of such cases."""
    attacked: int
    """Number of cases that were attacked and evaluated."""


@dataclass(frozen=True)
class Evidence:
    """Everything that a check may use."""

    cases: Cases
    """The audited cases, without those whose file is broken."""
    broken: int
    """Number of cases whose file could not be read."""
    groups: int
    """Number of groups (patients, lesions)."""
    head: str
    """Head of the classifier as it was recognised."""
    declared_head: str
    """Head that the plan declares; `auto` where it declares none."""
    colour_of_grey: int
    """Number of the cases looked at that hold a grey image in a colour file."""
    clean: AttackResult
    """Result without attack."""
    rows: Sequence[AttackResult]
    """Results of the attacks."""
    failures: Counter[str]
    """Why attacks could not be evaluated: number of cases by message."""
    unfinished: int = 0
    """Number of cases that the run has not finished."""
    detection: Detection | None = None
    """Detector results; None where the plan names no detector."""
    copies: int = 0
    """Number of images that detectors are evaluated on and that are copies of another one."""
    worst: Sequence[AttackResult] = ()
    """Worst cases over all attacks."""
    needed: Mapping[str, int] = field(default_factory=dict)
    """By gate: the number of groups below which it could not pass, even if all were correct."""
    claim: Claim = Claim()
    """Clean scores claimed for the classifier."""
    seed: int = 0
    """Seed of the plan."""
    clipped: tuple[int, int] = (0, 0)
    """Number of different images that share the extreme value of an output exactly, and of all."""
    stepwise: frozenset[str] = frozenset()
    """Names of the iterative attacks in the plan."""
    stuck: Sequence[Stuck] = ()
    """Cases left no nearer to their goal, by eps."""
    short: Mapping[str, float] = field(default_factory=dict)
    """Attacks with a random start whose steps add up to less than 2 eps: their sum, in eps."""
    probe: Probed | None = None
    """Results of the probe; None where the plan switches it off."""
