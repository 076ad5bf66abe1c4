"""What doubts are raised from: plain values of a finished run, and what the probe of it saw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from robust.cases.case import Cases
from robust.records import AttackResult, Detection


@dataclass(frozen=True)
class Claim:
    """What someone said of the classifier before it was audited; None: nothing."""

    accuracy: float | None = None
    auc: float | None = None
    by: str = "the plan"


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
    """Of those that then withstood, felled without gradients, here or by the plan."""
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
    """Attacks that go step by step, and the cases that all of them left no nearer to their goal."""

    attacks: str
    norm: str
    eps: float
    stuck: int
    attacked: int


@dataclass(frozen=True)
class Evidence:
    """What a check may look at."""

    cases: Cases
    """Without the broken ones."""
    broken: int
    groups: int
    head: str
    declared_head: str
    colour_of_grey: int
    """Of the cases looked at, how many hold a grey image in a colour file."""
    clean: AttackResult
    rows: Sequence[AttackResult]
    failures: Counter[str]
    """Why attacks came to no verdict, by message."""
    unfinished: int = 0
    """Cases that the run has not come to yet."""
    detection: Detection | None = None
    copies: int = 0
    """Images judged by detectors that are copies of another one."""
    worst: Sequence[AttackResult] = ()
    needed: Mapping[str, int] = field(default_factory=dict)
    """Gates by name: the groups without which each could not pass, were every case right."""
    claim: Claim = Claim()
    seed: int = 0
    clipped: tuple[int, int] = (0, 0)
    """Different images that share the extreme value of an output exactly, of how many."""
    stepwise: frozenset[str] = frozenset()
    """Attacks that climb in more than one step, by their names in the plan."""
    stuck: Sequence[Stuck] = ()
    short: Mapping[str, float] = field(default_factory=dict)
    """Attacks from a random start whose steps add up to less than 2 eps: to how many eps."""
    probe: Probed | None = None
