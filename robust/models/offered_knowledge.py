"""What a model offers to know (gradients, scores, labels), and the attacks that this allows."""

from __future__ import annotations

from collections.abc import Iterable

from attacks import ATTACKS, Attack, Knowledge
from robust.errors import InputError
from robust.models.formats.contract import ModelOrigin
from robust.plan.spec import AttackSpec, Plan, ScenariosSpec

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


def require_offered(attacks: Iterable[tuple[str, Attack]], origin: ModelOrigin) -> None:
    """InputError for an attack, with its name, that needs to know more than the model offers."""
    offer = offered(origin)
    for label, attack in attacks:
        if not origin.differentiable and not _enough(attack.knowledge, offer):
            possible = [name for name, kind in ATTACKS.items() if _enough(kind.knowledge, offer)]
            raise InputError(
                f"{label} needs {attack.knowledge} and {_why(origin)}; take "
                f"{' or '.join(possible)}, and the decision-based attack: queries = [500] in "
                f"[scenarios]"
            )


def require_scenarios_offered(spec: ScenariosSpec, origin: ModelOrigin) -> None:
    """InputError for a scenario that needs gradients of a model that has none."""
    for name in ("universal", "patch"):
        if getattr(spec, name) and not origin.differentiable:
            raise InputError(
                f"[scenarios] {name} needs gradients and {_why(origin)}; remove it, or let images "
                f"of another model be shown to this one: [scenarios.surrogate]"
            )


def require_layers(origin: ModelOrigin) -> None:
    """InputError for a model whose layers no detector can read."""
    if not origin.differentiable:
        raise InputError(
            f"detectors read the layers of a network and {_why(origin)}; remove them, or take the "
            f"network itself"
        )


def _why(origin: ModelOrigin) -> str:
    return f"this model gives {offered(origin)} alone ({origin.format})"


def _enough(needed: Knowledge, offer: Knowledge) -> bool:
    return ORDER.index(needed) <= ORDER.index(offer)
