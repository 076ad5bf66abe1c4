"""Which warnings weaken which kinds of results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from robust.records import Flag, Report

Concern = Literal["clean", "attacks", "detectors", "proofs", "corruptions", "twin", "record"]
"""What a result is about; `record` is what was done and with what, which no warning weakens."""

_EVERY: tuple[Concern, ...] = (*("clean", "attacks", "detectors", "proofs", "corruptions", "twin"),)
_ATTACKED: tuple[Concern, ...] = ("attacks", "detectors", "twin")
_CLEAN: tuple[Concern, ...] = ("clean", "corruptions")

CONCERNS: Mapping[str, tuple[Concern, ...]] = {
    "a null control raised an alarm": ("detectors",),
    "which cases fall explains detection": ("detectors",),
    "run cut short": _EVERY,
    "certificate crossed": ("attacks", "detectors", "proofs", "twin"),
    "synthetic images": _EVERY,
    "clean accuracy no better than a constant": _EVERY,
    "classes in another order": _EVERY,
    "few clean images outlined well": _EVERY,
    "constant predictions": _EVERY,
    "clean accuracy below the claim": _EVERY,
    "random outputs": _EVERY,
    "outputs depend on the batch": _EVERY,
    "parts in training mode": _EVERY,
    "the deployed version reads otherwise": ("twin",),
    "attacks without a verdict": _ATTACKED,
    "workers disagree": _ATTACKED,
    "no gradients": _ATTACKED,
    "gradients replaced": _ATTACKED,
    "gradients vanish": _ATTACKED,
    "gradients mislead": _ATTACKED,
    "gradients point away from the boundary": _ATTACKED,
    "adversarial regions narrower than a step": _ATTACKED,
    "black box beats white box": _ATTACKED,
    "attacks fail without bounds": _ATTACKED,
    "accuracy rises with eps": _ATTACKED,
    "the objective does not rise": _ATTACKED,
    "no better than noise": _ATTACKED,
    "more steps still help": _ATTACKED,
    "one step as strong as many": _ATTACKED,
    "another window in the attack": _ATTACKED,
    "input is rounded": _ATTACKED,
    "labels in place of scores": (*_ATTACKED, "clean"),
    "scores of the best classes alone": (*_ATTACKED, "clean"),
    "scores are rounded": (*_ATTACKED, "clean"),
    "clipped outputs": _ATTACKED,
    "steps too short to cross the ball": _ATTACKED,
    "a column gives the label away": _EVERY,
    "too few cases for the claim": _CLEAN,
    "broken files": _EVERY,
    "image files left out": _EVERY,
    "images use a part of their range": _EVERY,
    "no groups": _EVERY,
    "groups differ in spelling alone": _EVERY,
    "groups finer than file names": _EVERY,
    "few groups": _EVERY,
    "missing class": _EVERY,
    "structures missing from masks": _EVERY,
    "gaps in masks": _EVERY,
    "few attacked images for detectors": ("detectors",),
    "copies of images": _EVERY,
    "probabilities instead of logits": _EVERY,
    "grey images in colour files": _ATTACKED,
    "cross-entropy saturates": _ATTACKED,
    "the same attack twice": _ATTACKED,
}
"""By the name of the warning; every warning has an entry."""


def doubts(report: Report, concern: Concern) -> tuple[Flag, ...]:
    """The warnings of a report that weaken results of a kind, the gravest first.

    A warning that this version does not know weakens all but the record.
    """
    return tuple(flag for flag in report.flags if concern in CONCERNS.get(flag.name, _EVERY))
