"""What a run keeps of its plan, model and machine, so that its store alone can be reported on."""

from __future__ import annotations

import importlib.metadata
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from robust.engine.run_store import RunStore
from robust.models import Classifier
from robust.models.trained import read_model_file
from robust.plan.spec import Plan

SEEN = ("torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "pillow", "pandas")


@dataclass(frozen=True)
class Provenance:
    """As `Report` holds them."""

    plan: Plan
    model: dict[str, Any]
    environment: dict[str, Any]

    @property
    def declared_head(self) -> str:
        """What the plan says of the head, before it was recognised."""
        return self.plan.model.head if self.plan.model else str(self.model["head"])


def remember(
    store: RunStore, plan: Plan, classifier: Classifier, weights: str, device: torch.device
) -> Provenance:
    """Put the facts into the store and return them; `weights` is the hash of the classifier's."""
    source = plan.model.model_dump(exclude_none=True) if plan.model else {"given": "in Python"}
    model = {"source": source, "weights_sha256": weights, **classifier.describe()}
    if claimed := _claimed(plan):
        model["claimed"] = claimed
    facts = Provenance(plan, model, _environment(device))
    store.put_json("plan as given", plan.model_dump(mode="json"))
    store.put_json("model facts", facts.model)
    store.put_json("environment", facts.environment)
    return facts


def recall(store: RunStore) -> Provenance | None:
    """The facts, or None where the run was cut short before it knew them."""
    plan = store.get_json("plan as given")
    if plan is None:
        return None
    made = Plan.model_validate(plan)
    return Provenance(made, store.get_json("model facts"), store.get_json("environment"))


def _claimed(plan: Plan) -> dict[str, float]:
    """What the folder of a trained model says of its test split."""
    if plan.model is None or plan.model.folder is None:
        return {}
    scores = read_model_file(Path(plan.model.folder))[1].get("metrics", {}).get("test", {})
    known = {name: scores.get("scores", {}).get(name) for name in ("accuracy", "auc")}
    return {name: float(found["value"]) for name, found in known.items() if found}


def _environment(device: torch.device) -> dict[str, Any]:
    return {
        "robust": importlib.metadata.version("robust-audit"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        **{name: importlib.metadata.version(name) for name in SEEN},
    }
