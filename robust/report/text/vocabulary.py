"""The words of a task: what a report calls a right answer, an attacker's goal, a score."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from robust.records import AttackResult, AuditedTask, Report


@dataclass(frozen=True)
class ScoreColumn:
    """A column of the table of all results."""

    title: str
    name: str
    """Field of `Scores`."""
    term: str
    """Id of its entry in the glossary."""


@dataclass(frozen=True)
class GateWords:
    """How a gate names its number."""

    name: str
    """What is required, such as `robust accuracy`."""
    perfect: str = "all were correct"
    """The best result that there could be, to follow `even if`."""
    lost: str = "misread"
    """What a case counts as that could not be evaluated."""


@dataclass(frozen=True)
class Vocabulary:
    """The words of one task. Texts with fields in braces are filled in by whoever prints them."""

    model: str
    """What the model is: `classifier`."""
    right: str
    """Of a case, a participle: `read correctly`."""
    does_right: str
    """What a model does, to follow `cases that the model`: `reads correctly`."""
    do_right: str
    """The same of several models: `read correctly`."""
    correct: str
    """Of a case, to follow `stays` and `still`: `correct`."""
    kept: str
    """The share of the attacked cases that stays so, at the start of a sentence."""
    image: str
    """One image of the data: `image`."""
    pixel: str
    """The smallest part of it: `pixel`."""
    where: str
    """In which part of the image an attacker may change it; empty for all of it."""
    clean: str
    """The first sentence; fields `images`, `share`, `interval`, `population`."""
    unknown: str
    """The same without a number; fields `cases`, `images`."""
    none_right: str
    """Why no image was attacked where the model is right on none; a sentence."""
    none_fits: str
    """Why no image was attacked where the goal fits none; a sentence."""
    attacked: Callable[[Report], str]
    """What is attacked, to follow `Of 100`."""
    effect: Callable[[Report], str]
    """What an attack does to a number of them, to follow `an attacker`; field `amount`."""
    goal: Callable[[Report], str]
    """What the attacker wants."""
    errors: Callable[[Report, AttackResult, str], str]
    """A sentence on the errors under one attack, which begins with the third argument."""
    subject: Callable[[Report], tuple[str, str]]
    """What the data show, for the opening: name of the fact and a sentence."""
    counts: str
    """Number of cases by class; field 0."""
    population: Callable[[Report], str]
    """The same in a technical file, a sentence."""
    rule: str
    """How verdicts are given."""
    section: str
    """Heading of the curves against eps."""
    columns: tuple[ScoreColumn, ...]
    """Of the table of all results."""
    results: str
    """Note of that table."""
    jpeg: str
    """Of unmodified images: what may happen after JPEG, to follow `images`."""
    twin: str
    """How the deployed version agrees; fields `agreement`, `twin`, `model`."""
    alike: str
    """Head of the column of images on which both models agree."""
    alike_means: str
    """What that column counts, for the note."""
    gates: Mapping[str, GateWords]
    """By the gate's name in the plan."""
    error: str
    """What images are judged by under corruption: `balanced error`."""
    error_means: str
    """What that is, to stand in brackets."""
    error_term: str
    """Id of its entry in the glossary."""
    scores: Mapping[str, str]
    """What a comparison and a failed test call a field of `Scores`."""
    fallen: str
    """What a case is called on which an attack succeeds: `misread`."""
    held: str
    """And one on which none does: `correct`."""
    gallery: str
    """How example images are chosen; sentences."""
    answers: str
    """What stands beside them; sentences."""
    terms: Mapping[str, tuple[str, str]]
    """The glossary: by the id of the entry, the term and its meaning."""


def touched(task: AuditedTask) -> str:
    """In which part of the image an attacker may change it, for `Vocabulary.where`."""
    few = task.instances
    bags = "" if few is None else f" in at most {few} instance{'s' * (few > 1)} of each bag"
    if task.touch == "image":
        return bags
    if task.box is not None:
        sides = zip(("left", "top", "right", "bottom"), task.box, strict=True)
        part = f"the box {', '.join(f'{name} {100 * share:.3g} %' for name, share in sides)}"
    else:
        part = "the structures" if task.is_segmentation else "the region of each case"
    return f"{bags} {task.touch} {part}"
