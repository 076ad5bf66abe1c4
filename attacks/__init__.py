"""Attacks on image classifiers and segmenters: one idea, one file, one paper.

Imports torch and numpy alone.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from attacks._registry import attack_classes, nearest, unknown_field, unknown_name
from attacks.adaptive.confidence_pgd import ConfidencePGD as ConfidencePGD
from attacks.adaptive.contract import AdaptiveAttack as AdaptiveAttack
from attacks.adaptive.contract import DetectorAccess as DetectorAccess
from attacks.adaptive.contract import Guides as Guides
from attacks.adaptive.feature_matching import FeatureMatching as FeatureMatching
from attacks.adaptive.hierarchical_feature_constraint import (
    HierarchicalFeatureConstraint as HierarchicalFeatureConstraint,
)
from attacks.adaptive.joint_pgd import JointPGD as JointPGD
from attacks.adaptive.orthogonal_pgd import OrthogonalPGD as OrthogonalPGD
from attacks.adaptive.selective_pgd import SelectivePGD as SelectivePGD
from attacks.apgd import APGD as APGD
from attacks.apgd_l1 import APGDL1 as APGDL1
from attacks.bim import BIM as BIM
from attacks.contract import Attack as Attack
from attacks.contract import AttackFunction as AttackFunction
from attacks.contract import AttackTraits as AttackTraits
from attacks.contract import Knowledge as Knowledge
from attacks.contract import Model as Model
from attacks.contract import require_attack_class as require_attack_class
from attacks.contract import require_members as require_members
from attacks.ensembles.auto_attack import AutoAttack as AutoAttack
from attacks.ensembles.minimum_norm_ensemble import MinimumNormEnsemble as MinimumNormEnsemble
from attacks.ensembles.sea import SEA as SEA
from attacks.fgsm import FGSM as FGSM
from attacks.foolbox_adapter import from_foolbox as from_foolbox
from attacks.image_agnostic.patch import AdversarialPatch as AdversarialPatch
from attacks.image_agnostic.universal import UniversalPerturbation as UniversalPerturbation
from attacks.margin_pgd import MarginPGD as MarginPGD
from attacks.minimum_norm.carlini_wagner_l2 import CarliniWagnerL2 as CarliniWagnerL2
from attacks.minimum_norm.fab import FAB as FAB
from attacks.minimum_norm.fmn import FMN as FMN
from attacks.minimum_norm.sigma_zero import SigmaZero as SigmaZero
from attacks.noise import Noise as Noise
from attacks.pgd import PGD as PGD
from attacks.pma import PMA as PMA
from attacks.segmentation.alma_prox import ALMAProx as ALMAProx
from attacks.segmentation.cheapest_pixels import CheapestPixels as CheapestPixels
from attacks.segmentation.cospgd import CosPGD as CosPGD
from attacks.segmentation.segpgd import SegPGD as SegPGD
from attacks.square import Square as Square
from attacks.streams import Streams as Streams
from attacks.threat import NORMS as NORMS
from attacks.threat import ThreatModel as ThreatModel

ATTACKS: dict[str, type[Any]] = attack_classes(globals())
"""Every attack by name. The import above is the registration: one line adds an attack."""


def make_attack(what: str | type[Any], **fields: Any) -> Attack:
    """The attack of that name or class with those fields; `foolbox:NAME` takes one from foolbox.

    Raises ValueError for an unknown name or field, with the nearest that exists, and for a class
    that breaks the contract.
    """
    if isinstance(what, str):
        if what.startswith("foolbox:"):
            return _make_from_foolbox(what.removeprefix("foolbox:"), fields)
        kind = ATTACKS.get(what)
        if kind is None:
            raise ValueError(unknown_name(what, list(ATTACKS)))
    else:
        kind = what
        require_attack_class(kind)
    name = kind.__name__
    names = [field.name for field in dataclasses.fields(kind) if field.repr]
    for field in fields:
        if field not in names:
            raise ValueError(unknown_field(name, field, names))
    try:
        attack: Attack = kind(**fields)
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from None
    return attack


def early_stopping(attack: Attack) -> Attack:
    """The same attack, ending on each case at its first success, where it can stop early."""
    return attack.traits.early_stopping or attack


def canonical(attack: Attack, classes: int) -> Attack:
    """Equal for two attacks exactly if they do the same to a model with so many classes.

    With two classes the gradients of cross-entropy and margin are parallel, and DLR is the margin:
    PGD on any of them takes the same steps. Not so on dense logits, whose losses weigh the pixels
    differently: `classes` is 0 for them.
    """
    same = attack.traits.equals_on_two_classes if classes == 2 else None
    return same or attack.traits.equals or attack


def _make_from_foolbox(name: str, fields: dict[str, Any]) -> Attack:
    try:
        import foolbox
    except ImportError:
        raise ValueError(f"foolbox:{name} needs foolbox; pip install foolbox") from None
    kind = getattr(foolbox.attacks, name, None)
    if kind is None:
        names = [entry for entry in dir(foolbox.attacks) if "Attack" in entry or "PGD" in entry]
        raise ValueError(f"unknown foolbox attack {name!r}; {nearest(name, names)}")
    try:
        return from_foolbox(kind(**fields))
    except TypeError as error:
        raise ValueError(f"foolbox:{name}: {error}") from None
