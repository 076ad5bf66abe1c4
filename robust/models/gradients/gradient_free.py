"""What a plan runs on models that give no gradients, or outlines, and what it is refused for."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable

from attacks import Attack
from robust.errors import InputError
from robust.models.adapter import Adapter
from robust.models.segmentation.segmenter import Segmenter
from robust.plan.spec import AttackSpec, Plan

DEFAULT_ATTACKS = {"scores": ("Noise", "Square"), "labels": ("Noise",)}
"""Attacks of a plan that names none, for a model without gradients, by what it answers."""
SEGMENTATION_ATTACKS = ("Noise", "FGSM", "PGD", "SegPGD", "CosPGD")
"""Attacks of a plan that names none, for a segmenter."""
DEFAULT_QUERIES = 1000
"""Queries for each case of the decision-based attack that such a plan runs too."""
WITH_GRADIENTS = ("gradients", "gradients and scores")
"""Knowledge of the attacks that use gradients, alone or in part."""


def has_gradients(classifier: object) -> bool:
    """Whether gradients lead through a model; what is no Adapter is refused elsewhere."""
    return not isinstance(classifier, Adapter) or classifier.origin.differentiable


def fitting_plan(plan: Plan, classifier: object, surrogate: object = None) -> Plan:
    """The plan as it can run on this model, unchanged for a classifier that gives gradients.

    A plan that names no attacks gets those that need no gradients. Adaptive attacks on detectors,
    which all do, are left out. InputError for scenarios that need gradients, and for detectors of a
    black box.
    """
    if not has_gradients(surrogate):
        raise InputError(
            "the surrogate gives no gradients, and images for a transfer attack are made by "
            "following them; name another network in [scenarios] surrogate"
        )
    if isinstance(classifier, Segmenter) and "attacks" not in plan.model_fields_set:
        attacks = tuple(AttackSpec(name=name) for name in SEGMENTATION_ATTACKS)
        plan = plan.model_copy(update={"attacks": attacks})
    if not isinstance(classifier, Adapter) or has_gradients(classifier):
        return plan
    if isinstance(classifier, Segmenter):
        raise InputError(
            "this segmenter gives no gradients, and attacks on outlines follow them; name the "
            "network itself in [model]"
        )
    if plan.detectors:
        require_network(classifier)
    scenarios = plan.scenarios
    for name in ("universal", "patch"):
        if getattr(scenarios, name):
            raise InputError(
                f"[scenarios] {name} needs gradients, and this model gives none; take it out, or "
                f"use queries or surrogate"
            )
    changes: dict[str, object] = {"detection": plan.detection.model_copy(update={"adaptive": 0})}
    if "attacks" not in plan.model_fields_set:
        names = DEFAULT_ATTACKS[classifier.origin.answers]
        changes["attacks"] = tuple(AttackSpec(name=name) for name in names)
        if not scenarios.queries and importlib.util.find_spec("foolbox") is not None:
            changes["scenarios"] = scenarios.model_copy(update={"queries": (DEFAULT_QUERIES,)})
    return plan.model_copy(update=changes)


def require_network(classifier: Adapter) -> None:
    """InputError for a black box, of which a detector would have nothing but costly answers."""
    if classifier.origin.is_black_box:
        raise InputError(
            "detectors read a network, and a black box gives answers alone; take them out, or name "
            "the network itself in [model]"
        )


def require_fitting_attacks(classifier: Adapter, attacks: Iterable[tuple[str, Attack]]) -> None:
    """InputError for the first attack, by its label, that needs more than the model gives."""
    if has_gradients(classifier):
        return
    answers = classifier.origin.answers
    names = " or ".join(reversed(DEFAULT_ATTACKS[answers]))
    for label, attack in attacks:
        if attack.knowledge in WITH_GRADIENTS:
            wrong = "follows gradients, and this model gives none"
        elif attack.knowledge == "scores" and answers == "labels":
            wrong = "reads scores, and this model gives labels alone"
        else:
            continue
        raise InputError(
            f"{label} {wrong}; use {names}, [scenarios] queries, or [scenarios] surrogate"
        )
