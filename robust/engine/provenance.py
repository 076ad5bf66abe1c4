"""Provenance of a run: plan, model and environment, kept in its store for the report."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

from robust.engine.run_memory import PROVENANCE
from robust.engine.run_store import RunStore
from robust.errors import InputError, excerpt
from robust.models import Adapter
from robust.models.model_json import read_either
from robust.plan.paths import is_trained
from robust.plan.public import PATHS, public_plan
from robust.plan.spec import ModelSpec, Plan
from robust.records import FormatProof

PACKAGES = ("torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "pillow", "pandas")
"""Packages whose versions a report names."""


def utc_now() -> str:
    """The time as reports hold it: UTC in ISO 8601, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Provenance:
    """Plan, audited model and environment of a run, as `Report` holds them."""

    plan: Plan
    model: Mapping[str, Any]
    environment: Mapping[str, Any]

    @property
    def declared_head(self) -> str:
        """The head that the plan declares; `auto` where it declares none."""
        return self.plan.model.head if self.plan.model else str(self.model["head"])

    @property
    def differentiable(self) -> bool:
        """Whether gradients lead through the model."""
        return bool(self.model.get("differentiable", True))

    def save(self, store: RunStore) -> None:
        """Write it to the run's store, without what may name a patient or a place."""
        plan = public_plan(self.plan).model_dump(mode="json")
        plain = {"plan": plan, "model": dict(self.model), "environment": dict(self.environment)}
        store.put(PROVENANCE, plain)

    @classmethod
    def load(cls, store: RunStore) -> Provenance | None:
        """Read it from a run's store; None where clean images are still to be predicted."""
        plain = store.get(PROVENANCE)
        if plain is None:
            return None
        return cls(Plan.model_validate(plain["plan"]), plain["model"], plain["environment"])


def find_provenance(
    plan: Plan,
    classifier: Adapter,
    weights: str,
    environment: Mapping[str, Any],
    proof: FormatProof | None = None,
) -> Provenance:
    """The provenance of a run; `weights` is the hash of the prepared classifier's weights."""
    spec = public_plan(plan).model
    source = spec.model_dump(mode="json", exclude_none=True) if spec else {"given": "in Python"}
    for name in PATHS:
        if name in source:
            source[name] = "not named here"
    origin = classifier.origin
    model = {
        "source": source,
        "weights_sha256": weights,
        **classifier.describe(),
        "answers": origin.answers,
        "grey_levels": origin.grey_levels,
        "format": "" if origin.format == "module" else excerpt(origin.format, 300),
        "differentiable": origin.differentiable,
        "notes": [excerpt(note, 500) for note in origin.notes],
        "proof": None if proof is None else dataclasses.asdict(proof),
    }
    folder = None if plan.model is None else plan.model.folder
    if plan.model is not None and folder is not None and is_trained(Path(folder)):
        content = read_either(Path(folder))[1]
        source["architecture"] = excerpt(content["architecture"])
        source["name"] = excerpt(content.get("title") or "", 200)
        if claimed := _claimed(plan.model, content):
            model["claimed"] = claimed
    elif "architecture" not in source:
        source["network"] = _class_name(classifier.network)
    return Provenance(plan, model, environment)


def _class_name(network: nn.Module) -> str:
    """What the code of a network calls it; of a TorchScript file what it was called before."""
    scripted = isinstance(network, torch.jit.ScriptModule)
    return excerpt(network.original_name if scripted else type(network).__name__)


def _claimed(spec: ModelSpec, content: Mapping[str, Any]) -> dict[str, float]:
    """Accuracy and AUC on the test split, as the folder of a trained model states them."""
    try:
        scores = content.get("metrics", {}).get("test", {}).get("scores", {})
        known = {name: scores.get(name) for name in ("accuracy", "auc")}
        return {name: float(found["value"]) for name, found in known.items() if found}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise InputError(
            f"the scores in {spec.folder} were changed after the training; copy the folder again"
        ) from None
