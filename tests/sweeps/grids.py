"""Sweeps so small that they are trained and audited in seconds."""

from __future__ import annotations

from typing import Any

from robust.sweeps.spec import SweepSpec, make_sweep

RECIPE: dict[str, Any] = {
    "data": {"path": "phantom:chest_xray", "count": 12, "pixels": 32},
    "network": {"architecture": "torchvision:squeezenet1_1", "pretrained": False, "size": 32},
    "training": {"epochs": 1, "batch": 8},
}
PLAN: dict[str, Any] = {
    "attacks": [{"name": "FGSM"}],
    "audit": {"eps": ["2/255"]},
    "report": {"gallery": 0},
    "doubts": {"probe": False},
}
SEEDS = {"name": "seed", "values": [0, 1]}
SIZES = {"name": "eps", "values": ["1/255", "2/255"]}


def sweep(*axes: dict[str, Any], **more: Any) -> SweepSpec:
    return make_sweep({"recipe": RECIPE, "plan": PLAN, "axes": list(axes), **more})
