"""Fine-tunes MobileNetV2 on one image set and audits it, with every detector, as a user would.

Run: `python -m experiments.gpu.modality NAME DATA OUT.json [--rehearse]`, where DATA is the folder
that `experiments.gpu.data` packs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import tomli_w

RECIPES = {"chest_xray": "chest-xray", "fundus": "fundus", "dermoscopy": "dermoscopy"}
DETECTORS = (
    *("KernelDensity", "LID", "Mahalanobis", "DeepFeatures", "QuantizedFeatures"),
    *("BayesianUncertainty", "MaxSoftmax", "Energy"),
)


def run(name: str, data: Path, rehearse: bool) -> dict[str, Any]:
    """Train, audit, and read both results."""
    device, size, epochs, limit = ("cpu", 64, 1, 60) if rehearse else ("cuda", 224, 6, 300)
    with tempfile.TemporaryDirectory() as folder:
        model, out = Path(folder) / "model", Path(folder) / "run"
        where = ["--where", 'source == "odir"'] if name == "fundus" else []
        began = time.perf_counter()
        _robust(
            *("train", "--recipe", RECIPES[name], "--architecture", "torchvision:mobilenet_v2"),
            *("--weights", data / "weights" / "mobilenet_v2_imagenet.pth"),
            *("--mean", "0.5", "--std", "0.5", "--size", size, "--epochs", epochs),
            *("--data", data / name, *where, "--limit", 240 if not rehearse else 40),
            *("--device", device, "--out", model),
        )
        trained = time.perf_counter()
        plan = Path(folder) / "plan.toml"
        plan.write_text(tomli_w.dumps(_plan(model, data / name, where[1:], limit, rehearse)))
        _robust("audit", plan, "--device", device, "--out", out)
        audited = time.perf_counter()
        report = json.loads((out / "report.json").read_text())
        card = json.loads((model / "model.json").read_text())
    return {
        "name": name,
        "seconds of training": trained - began,
        "seconds of the audit": audited - trained,
        "card": {k: card[k] for k in ("precision", "environment") if k in card},
        "report": {
            k: report[k] for k in ("clean", "worst_cases", "flags", "detection", "environment")
        },
    }


def _plan(model: Path, data: Path, where: list[str], limit: int, rehearse: bool) -> dict[str, Any]:
    steps = 2 if rehearse else 20
    return {
        "model": {"folder": str(model.absolute())},
        "data": {
            "path": str(data.absolute()),
            "limit": limit,
            **({"where": where[0]} if where else {}),
        },
        "audit": {"eps": ["1/255", "4/255"]},
        "attacks": [
            {"name": "FGSM"},
            {"name": "BIM"},
            {"name": "PGD"},
            {"name": "CarliniWagnerL2", "steps": 2 * steps, "binary_steps": 4},
        ],
        "detectors": [{"name": detector} for detector in DETECTORS],
        "detection": {"adaptive": steps, "adaptive_steps": steps},
    }


def _robust(*arguments: object) -> None:
    command = [sys.executable, "-m", "robust", *map(str, arguments)]
    if code := subprocess.run(command).returncode:
        raise SystemExit(code)


def main() -> None:
    """Run one set and write its figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=RECIPES)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes, on the CPU")
    given = parser.parse_args()
    found = run(given.name, given.data, given.rehearse)
    given.out.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
