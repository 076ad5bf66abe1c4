"""A network and cases so small that an epoch takes a fraction of a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from robust.cases import Cases, open_cases
from robust.cases.case import Entry
from robust.models import Classifier
from robust.training.fit import FitResult, fit
from robust.training.recipe import Recipe, make_recipe


def network(norm: bool = True, channels: int = 1) -> nn.Sequential:
    """A random start; `norm` has batch statistics and dropout, which depend on the whole past."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(channels, 8, 3, stride=2, padding=1),
            nn.BatchNorm2d(8) if norm else nn.Identity(),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.2 if norm else 0.0),
            nn.Linear(16 * 64, 2),
        )


def classifier(norm: bool = True) -> Classifier:
    return Classifier(network(norm), mean=0.5, std=0.25, channels=1, size=32, head="softmax")


def recipe(**tables: dict[str, Any]) -> Recipe:
    training = {"epochs": 3, "batch": 8, "lr": 3e-3, **tables.pop("training", {})}
    return make_recipe({"network": {"architecture": "tiny"}, "training": training, **tables})


def chests(split: str = "train", count: int = 24) -> Cases:
    return open_cases("phantom:chest_xray", split=split, count=count, pixels=32)


def run(folder: Path, recipe: Recipe, *callbacks: Callback, **options: Any) -> FitResult:
    """Train on phantoms of chests."""
    given = {"classifier": classifier(), "train": chests(), "val": chests("val", 12), **options}
    return fit(
        **given, recipe=recipe, folder=folder, device="cpu", progress=False, callbacks=callbacks
    )


def cases_of(images: Tensor, labels: Tensor, name: str = "case") -> Cases:
    """Cases from images `(n, c, h, w)` in [0, 1] that are in memory."""
    levels = (images * 255).round().to(torch.uint8)
    pixels: list[Any] = [
        x[0].numpy() if len(x) == 1 else x.permute(1, 2, 0).numpy() for x in levels
    ]
    entries = tuple(
        Entry(f"{name}-{i}", int(label), f"{name}-{i}", {}, i) for i, label in enumerate(labels)
    )
    return Cases(name, ("one", "two"), entries, pixels.__getitem__)


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def rows(fitted: FitResult) -> list[dict[str, float]]:
    """The history without what a clock says."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in fitted.history]


class Watch(Callback):
    """Keeps the weights of the network after every step, and counts the steps."""

    def __init__(self) -> None:
        self.steps: list[dict[str, np.ndarray[Any, Any]]] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        state = pl_module.classifier.network.state_dict()
        self.steps.append({k: v.detach().clone().numpy() for k, v in state.items()})
