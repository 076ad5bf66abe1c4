"""Models that give no gradients: what a plan then runs, and what it is refused for."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable

from attacks import Attack
from robust.errors import InputError
from robust.models.classifier import Classifier
from robust.plan.spec import AttackSpec, Plan

DEFAULT_ATTACKS = ("Noise", "Square")
"""Attacks of a plan that names none, for a model without gradients."""
DEFAULT_QUERIES = 1000
"""Queries for each case of the decision-based attack that such a plan runs too."""
WITH_GRADIENTS = ("gradients", "gradients and scores")
"""Knowledge of the attacks that use gradients, alone or in part."""


def has_gradients(classifier: object) -> bool:
    """Whether gradients lead through a model; what is no Classifier is refused elsewhere."""
    return not isinstance(classifier, Classifier) or classifier.origin.differentiable


def fitting_plan(plan: Plan, classifier: object, surrogate: object = None) -> Plan:
    """The plan as it can run on this model, unchanged where gradients lead through it.

    A plan that names no attacks gets those that need no gradients. Adaptive attacks on detectors,
    which all do, are left out. InputError for scenarios that need gradients.
    """
    if not has_gradients(surrogate):
        raise InputError(
            "the surrogate gives no gradients, and images for a transfer attack are made by "
            "following them; name another network in [scenarios] surrogate"
        )
    if has_gradients(classifier):
        return plan
    scenarios = plan.scenarios
    for name in ("universal", "patch"):
        if getattr(scenarios, name):
            raise InputError(
                f"[scenarios] {name} needs gradients, and this model gives none; take it out, or "
                f"use queries or surrogate"
            )
    changes: dict[str, object] = {"detection": plan.detection.model_copy(update={"adaptive": 0})}
    if "attacks" not in plan.model_fields_set:
        changes["attacks"] = tuple(AttackSpec(name=name) for name in DEFAULT_ATTACKS)
        if not scenarios.queries and importlib.util.find_spec("foolbox") is not None:
            changes["scenarios"] = scenarios.model_copy(update={"queries": (DEFAULT_QUERIES,)})
    return plan.model_copy(update=changes)


def require_fitting_attacks(classifier: Classifier, attacks: Iterable[tuple[str, Attack]]) -> None:
    """InputError for the first attack, by its label, that needs gradients which the model lacks."""
    if has_gradients(classifier):
        return
    for label, attack in attacks:
        if attack.knowledge in WITH_GRADIENTS:
            raise InputError(
                f"{label} follows gradients, and this model gives none; use Square or Noise, "
                f"[scenarios] queries, or [scenarios] surrogate"
            )
