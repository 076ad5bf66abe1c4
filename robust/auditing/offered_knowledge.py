"""What a model offers to know (gradients, scores, labels), and the attacks that this allows."""

from __future__ import annotations

from collections.abc import Sequence

from attacks import ATTACKS, Attack, Knowledge
from robust.errors import InputError
from robust.models.formats.contract import ModelOrigin
from robust.plan.spec import AttackSpec, Plan, unique_labels

ORDER: tuple[Knowledge, ...] = ("none", "labels", "scores", "gradients", "gradients and scores")
"""From little to much; the last two need the same of a model."""
DEFAULTS: dict[Knowledge, tuple[str, ...]] = {
    "labels": ("Noise",),
    "scores": ("Noise", "Square"),
}
"""Attacks of a plan that names none, where no gradient leads to the image."""
QUERIES = (500,)
"""Queries of the decision-based attack that comes with them, unless the plan says how many."""


def offered(origin: ModelOrigin) -> Knowledge:
    """The most that an attack can learn of a model."""
    return "gradients" if origin.differentiable else origin.answers


def plan_for(plan: Plan, origin: ModelOrigin) -> Plan:
    """The plan, with other default attacks where the model offers no gradients.

    What it names itself stays.
    """
    if origin.differentiable:
        return plan
    changed: dict[str, object] = {}
    if "attacks" not in plan.model_fields_set:
        names = DEFAULTS[offered(origin)]
        changed["attacks"] = tuple(AttackSpec(name=name) for name in names)
        if "queries" not in plan.scenarios.model_fields_set:
            changed["scenarios"] = plan.scenarios.model_copy(update={"queries": QUERIES})
    return plan.model_copy(update=changed)


def require_offered(plan: Plan, attacks: Sequence[Attack], origin: ModelOrigin) -> None:
    """InputError for an attack, a scenario or a detector that needs more than the model offers."""
    if origin.differentiable:
        return
    offer = offered(origin)
    why = f"this model gives {offer} alone ({origin.format})"
    for label, attack in zip(unique_labels(plan.attacks), attacks, strict=True):
        if not _enough(attack.knowledge, offer):
            possible = [n for n, kind in ATTACKS.items() if _enough(kind.knowledge, offer)]
            raise InputError(
                f"{label} needs {attack.knowledge} and {why}; take {' or '.join(possible)}, and "
                f"the decision-based attack: queries = [500] in [scenarios]"
            )
    for name in ("universal", "patch"):
        if getattr(plan.scenarios, name):
            raise InputError(
                f"[scenarios] {name} needs gradients and {why}; remove it, or make such images on "
                f"another model: [scenarios.surrogate]"
            )
    if plan.detectors:
        raise InputError(
            f"detectors read the layers of a network and {why}; remove them, or audit the network "
            f"itself"
        )


def _enough(needed: Knowledge, offer: Knowledge) -> bool:
    return ORDER.index(needed) <= ORDER.index(offer)
