"""Evidence for warnings: plain values of a run and of the probe of its model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from robust.cases.case import CaseNotes, Cases
from robust.diagnostics.answer_form import AnswerForm
from robust.metrics.arrays import Array
from robust.records import (
    AttackResult,
    CertifiedAccuracy,
    ComputedAgain,
    CopiedImages,
    Detection,
    Twin,
)
from robust.records.stages.probe import Probed


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
class Stuck:
    """Cases that an attack, or all iterative attacks at one eps, left no nearer to their goal."""

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
class CleanOutlines:
    """What is outlined in clean images, truly and by the model."""

    structures: tuple[str, ...]
    """Names of those that count."""
    true_volume: Array
    """`(n, structures)`."""
    predicted_volume: Array
    """`(n, structures)`."""


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
    grey_in_colour: int
    """Number of the cases looked at that hold a grey image in a colour file."""
    clean: AttackResult
    """Result without attack."""
    rows: Sequence[AttackResult]
    """Results of the attacks."""
    failures: Counter[str]
    """Why attacks could not be evaluated: number of cases by message."""
    brightest: float = 1.0
    """The highest value of all images, in [0, 1] as displayed."""
    notes: CaseNotes = field(default_factory=CaseNotes)
    """What was seen of the data set as it was opened."""
    unfinished: int = 0
    """Number of cases that the run has not finished."""
    missing_stages: tuple[str, ...] = ()
    """Stages that the run has not finished, as `Report.missing_stages`."""
    predicted: Mapping[int, int] = field(default_factory=dict)
    """How many clean images are read as each class, by the class's number."""
    detection: Detection | None = None
    """Detector results; None where the plan names no detector."""
    twin: Twin | None = None
    """The deployed version beside the model; None where the plan names none."""
    certificates: Sequence[CertifiedAccuracy] = ()
    """What certificates prove, beside attacks on the same classifiers."""
    copies: CopiedImages = field(default_factory=CopiedImages)
    """Audited images that show the picture of another one."""
    worst: Sequence[AttackResult] = ()
    """Worst cases over all attacks."""
    groups_needed: Mapping[str, int] = field(default_factory=dict)
    """By gate: the number of groups below which it could not pass, even if all were correct."""
    claim: Claim = Claim()
    """Clean scores claimed for the classifier."""
    seed: int = 0
    """Seed of the plan."""
    within_one: bool = False
    """Whether all outputs that are read as logits lie in [0, 1]."""
    form: AnswerForm = field(default_factory=AnswerForm)
    """What is missing from the scores of clean images."""
    declared_labels: bool = False
    """Whether the model is known to answer labels alone."""
    grey_levels: int | None = None
    """Grey levels that the input of the model can hold; None: any value."""
    clipped: tuple[int, int] = (0, 0)
    """Number of different images that share the extreme value of an output exactly, and of all."""
    replaced: tuple[str, ...] = ()
    """Parts of the model that the attacker's gradients passed as if they were not there."""
    eot: int | None = None
    """Passes in the mean that attacks climb on random outputs, as the plan sets it."""
    averaging: frozenset[str] = frozenset()
    """Names of the attacks that average passes of random outputs by themselves."""
    iterative: frozenset[str] = frozenset()
    """Names of the iterative attacks in the plan."""
    stuck: Sequence[Stuck] = ()
    """Cases left no nearer to their goal, by eps."""
    saturated: Sequence[Stuck] = ()
    """Of each attack, those of these cases whose cross-entropy saturated."""
    short_reach: Mapping[str, float] = field(default_factory=dict)
    """By attack with a random start whose steps add up to less than 2 eps: their sum, in eps."""
    probe: Probed | None = None
    """Results of the probe; None where the plan switches it off."""
    differentiable: bool = True
    """Whether gradients lead through the model."""
    outlines: CleanOutlines | None = None
    """What is outlined in clean images; None of a model that answers classes."""
    windows: tuple[str, str] | None = None
    """The sliding windows that a transfer attack is made through, and that the model is shown; None
    where there is no such attack."""
    again: ComputedAgain | None = None
    """What was computed again on another worker; None where there was none."""

    @property
    def answer(self) -> str:
        """What a model gives: a class or an outline."""
        return "class" if self.outlines is None else "outline"

    @property
    def fell(self) -> str:
        """What happened to cases on which an attack succeeded."""
        return "were misread" if self.outlines is None else "were lost"
