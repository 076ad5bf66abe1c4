"""Provenance of a run: plan, model and environment, kept in its store for the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from robust.engine.run_memory import PROVENANCE
from robust.engine.run_store import RunStore
from robust.models import Classifier
from robust.models.environment import find_environment
from robust.models.trained import read_model_file
from robust.plan.spec import ModelSpec, Plan

PACKAGES = ("torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "pillow", "pandas")
"""Whose versions a report names."""


@dataclass(frozen=True)
class Provenance:
    """What was audited, how, and by what; as `Report` holds them."""

    plan: Plan
    model: Mapping[str, Any]
    environment: Mapping[str, Any]

    @property
    def declared_head(self) -> str:
        """What the plan says of the head, before it was recognised."""
        return self.plan.model.head if self.plan.model else str(self.model["head"])

    def save(self, store: RunStore) -> None:
        """Keep it with the run."""
        plan = self.plan.model_dump(mode="json")
        plain = {"plan": plan, "model": dict(self.model), "environment": dict(self.environment)}
        store.put(PROVENANCE, plain)

    @classmethod
    def load(cls, store: RunStore) -> Provenance | None:
        """That of a run, or None where it was cut short before all clean images were predicted."""
        known = store.get(PROVENANCE)
        if known is None:
            return None
        return cls(Plan.model_validate(known["plan"]), known["model"], known["environment"])


def find_provenance(
    plan: Plan, classifier: Classifier, weights: str, device: torch.device
) -> Provenance:
    """That of a run that begins now; `weights` is the hash of the prepared classifier's weights."""
    source = plan.model.model_dump(exclude_none=True) if plan.model else {"given": "in Python"}
    model = {"source": source, "weights_sha256": weights, **classifier.describe()}
    if claimed := _claimed(plan.model):
        model["claimed"] = claimed
    return Provenance(plan, model, find_environment(device, PACKAGES))


def _claimed(spec: ModelSpec | None) -> dict[str, float]:
    """What the folder of a trained model says of its test split."""
    if spec is None or spec.folder is None:
        return {}
    scores = read_model_file(Path(spec.folder))[1].get("metrics", {}).get("test", {})
    known = {name: scores.get("scores", {}).get(name) for name in ("accuracy", "auc")}
    return {name: float(found["value"]) for name, found in known.items() if found}
