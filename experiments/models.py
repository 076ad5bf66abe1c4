"""The models that experiments attack: rebuilt by one command, never committed.

Run: `python -m experiments.models [NAME ...]`; without a name, all of them. Each is fine-tuned (or
trained from a random start) on the folders of `../shared/data` into `experiments/built/NAME`, which
`robust audit` takes as it is; one that is finished is left alone, one that was cut short goes on.
The three of 224 px and `fundus-eyepacs-224` are what a user would train, with the packaged recipes:
a quarter to half an hour each on one core. The others are 64 or 112 px wide: under ten minutes.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch

from robust.errors import InputError
from robust.plan.load import load_plan
from robust.plan.spec import NOT_KEPT, DataSpec
from robust.records.estimate import interval_text
from robust.training.recipe import Recipe, load_recipe
from robust.training.train import train_model

DATA = Path("../shared/data")
BUILT = Path("experiments/built")

MOBILENET = {
    "architecture": "torchvision:mobilenet_v2",
    "weights": str(DATA / "weights" / "mobilenet_v2_imagenet.pth"),
    "mean": 0.5,
    "std": 0.5,
}
SQUEEZENET = {
    "architecture": "torchvision:squeezenet1_1",
    "weights": str(DATA / "weights" / "squeezenet1_1_imagenet.pth"),
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
}
ODIR = 'source == "odir"'
FUNDUS = str(DATA / "fundus")
CHEST = str(DATA / "chest_xray")
CHEST_CLASSES = ("normal", "bacteria", "virus")

Tables = dict[str, dict[str, Any]]


def small(network: dict[str, Any], epochs: int = 6, lr: float = 1e-3, pixels: int = 112) -> Tables:
    """Network and training of a small model: few pixels, few epochs."""
    return {
        "data": {"size": pixels},
        "network": {**network, "size": pixels},
        "training": {"epochs": epochs, "lr": lr},
    }


def merged(*tables: Tables) -> Tables:
    """One recipe's tables; what comes later wins."""
    return {
        name: {key: value for table in tables for key, value in table.get(name, {}).items()}
        for name in {name for table in tables for name in table}
    }


def chest(count: int = 2000, **data: Any) -> Tables:
    return {"data": {"path": CHEST, "limit": count, **data}}


def at_random_start(network: dict[str, Any]) -> dict[str, Any]:
    """The same network without its weights."""
    return {**{k: v for k, v in network.items() if k != "weights"}, "pretrained": False}


def full(path: str, epochs: int, lr: float = 1e-3, **data: Any) -> Tables:
    """A packaged recipe with fewer epochs, at its 224 px."""
    training = {"epochs": epochs, "lr": lr}
    return {"data": {"path": path, **data}, "network": MOBILENET, "training": training}


HARDENED = {"method": "pgd-at", "eps": "1/255", "steps": 3, "step_size": 0.5, "warmup": 1}
FEW_FALL = {**HARDENED, "eps": "4/255"}

MODELS: dict[str, tuple[str, Tables]] = {
    "chest-224": ("chest-xray", full(CHEST, 5, 5e-4)),
    "dermoscopy-224": ("dermoscopy", full(str(DATA / "dermoscopy"), 10)),
    "fundus-224": ("fundus", full(FUNDUS, 10, where=ODIR)),
    "fundus-eyepacs-224": ("fundus", full(FUNDUS, 6)),
    "mobilenet-pretrained": ("chest-xray", merged(chest(), small(MOBILENET))),
    "squeezenet-pretrained": ("chest-xray", merged(chest(), small(SQUEEZENET, lr=3e-4))),
    # Beside mobilenet-pretrained, which is the plain one.
    "mobilenet-hardened": (
        "chest-xray",
        merged(chest(1500), small(MOBILENET, 5), {"adversarial": HARDENED}),
    ),
    # An attack at the eps of its training fools it on few images: what do detectors see there?
    "mobilenet-hardened-64": (
        "chest-xray",
        merged(chest(2000), small(MOBILENET, 8, pixels=64), {"adversarial": FEW_FALL}),
    ),
    "chest-3": (
        "chest-xray",
        merged(chest(label="subtype", classes=CHEST_CLASSES), small(MOBILENET)),
    ),
    "fundus-3": (
        "fundus",
        merged({"data": {"path": FUNDUS, "where": ODIR}}, small(MOBILENET, 10)),
    ),
}


def recipe_of(name: str) -> Recipe:
    packaged, tables = MODELS[name]
    told = load_recipe(packaged).model_dump(exclude_none=True)
    title = told.pop("title")
    return Recipe.model_validate({"title": title, **merged(told, tables)})


def built(name: str) -> Path:
    """The folder of a model; InputError where it was not built."""
    folder = BUILT / name
    if not (folder / "model.safetensors").exists():
        raise InputError(f"{folder} is missing: python -m experiments.models {name}")
    return folder


def data_of(name: str, folder: Path) -> DataSpec:
    """The data of a trained folder; what its plan does not keep is that of the model's recipe."""
    kept = load_plan(folder).data
    assert kept is not None  # robust train writes it
    told = recipe_of(name).data
    gaps = [field for field in ("path", "where") if getattr(kept, field) == NOT_KEPT]
    return kept.model_copy(update={field: getattr(told, field) for field in gaps})


def main(names: list[str]) -> None:
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    unknown = set(names) - set(MODELS)
    if unknown:
        sys.exit(f"no model {', '.join(sorted(unknown))}; there are {', '.join(MODELS)}")
    for name in names or MODELS:
        done = train_model(
            recipe_of(name), BUILT / name, device="cpu", progress=sys.stderr.isatty()
        )
        for split, scores in done.metrics.items():
            auc = scores.auc
            said = f"{auc.value:.3f} {interval_text(auc)}" if auc else "none"
            print(f"{name}, {split}: AUC {said}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
