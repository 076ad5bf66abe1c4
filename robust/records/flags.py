"""Warnings that weaken a report's numbers, by name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Flag:
    """A warning about the numbers: it stands next to them wherever they are shown."""

    name: str
    """Name of the warning, one of `FLAGS`."""
    observed: str
    """What was observed, with the figures."""
    why: str
    """Why it weakens a number."""
    remedy: str
    """What to do about it."""


FLAGS = (
    "a null control raised an alarm",
    "run cut short",
    "phantom images",
    "clean accuracy no better than a constant",
    "clean accuracy below the claim",
    "random outputs",
    "outputs depend on the batch",
    "parts in training mode",
    "attacks without a verdict",
    "gradients vanish",
    "gradients mislead",
    "black box beats white box",
    "attacks fail without bounds",
    "accuracy rises with eps",
    "the objective does not rise",
    "no better than noise",
    "more steps still help",
    "input is rounded",
    "clipped outputs",
    "steps too short to cross the ball",
    "a column gives the label away",
    "too few cases for the claim",
    "broken files",
    "no groups",
    "few groups",
    "missing class",
    "few attacked images for detectors",
    "copies of images",
    "probabilities instead of logits",
    "grey images in colour files",
    "cross-entropy saturates",
    "the same attack twice",
)
"""What they are called, in the same order: a gate names them."""
