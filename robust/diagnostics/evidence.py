"""What doubts are raised from: plain values of a finished run, and what the probe of it saw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from robust.cases.case import Cases
from robust.records import AttackResult, Detection
from robust.records.probe import Probed


@dataclass(frozen=True)
class Claim:
    """What someone said of the classifier before it was audited; None: nothing."""

    accuracy: float | None = None
    auc: float | None = None
    by: str = "the plan"


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
