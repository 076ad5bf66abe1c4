"""An audit with every scenario, and the held-out split of a run."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from torch import nn

from attacks import ThreatModel
from robust.auditing import audit
from robust.engine.cells import make_attacks
from robust.engine.run_store import RunStore
from robust.engine.runner import RunOptions
from robust.engine.session import RunInputs, start_session
from robust.models import Classifier
from robust.plan.load import make_plan
from robust.records import Report
from robust.scenarios.holdout import Holdout, make_holdout
from tests.engine.nets import classifier, phantoms, smooth, trained

EVERY = {"universal": [4], "patch": [0.1], "queries": [30, 150], "cases": 40}


def other() -> nn.Module:
    """Another network with the same weights: it answers much the same."""
    model = smooth()
    model.load_state_dict(trained(28).state_dict())
    return model.eval()


def run(**options: Any) -> Report:
    settings: dict[str, Any] = {
        "attacks": ["FGSM"],
        "eps": ["8/255"],
        "doubts": {"probe": False},
        "scenarios": EVERY,
        "surrogate": Classifier(other(), channels=1),
        "device": "cpu",
        "gallery": 0,
    }
    return audit(classifier(), phantoms(100), **{**settings, **options})


@cache
def holdout() -> Holdout:
    """Of 40 cases, at 8/255."""
    plan = make_plan({"attacks": [{"name": "FGSM"}]}, "audit")
    inputs = RunInputs(classifier(), phantoms(100), make_attacks(plan.attacks))
    store = RunStore(Path(tempfile.mkdtemp()))
    session = start_session(plan, inputs, store, RunOptions("cpu"))
    made = make_holdout(session, 0, ThreatModel("Linf", 8 / 255), 40)
    store.close()
    assert made is not None
    return made
