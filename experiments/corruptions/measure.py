"""Errors on corrupted PneumoniaMNIST, and the order of kinds against the published one.

Run after `python -m experiments.corruptions.networks`: `python -m experiments.corruptions.measure`;
it writes `results/kinds.csv` and `results/orders.csv`. Every model is audited on the 624 images of
the test split, each kind of MedMNIST-C at each severity, beside PGD in L-infinity at four sizes.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

from experiments.corruptions.networks import ALEXNET, MEDMNIST, RESNET, SmallAlexNet
from experiments.models import DATA
from experiments.pneumoniamnist.network import PneumoniaCNN
from robust.cases import Cases, open_cases
from robust.corruptions.predictions import CorruptedSample, predict_corrupted
from robust.corruptions.registry import corruptions_of
from robust.corruptions.run import run_corruptions
from robust.engine.cells import make_attacks
from robust.engine.run_store import RunStore
from robust.engine.runner import RunOptions
from robust.engine.session import RunInputs, Session, start_session
from robust.metrics.arrays import Array
from robust.models import Adapter, Classifier
from robust.models.trained import load_trained
from robust.plan.load import make_plan
from robust.plan.spec import CorruptionsSpec
from robust.records import CorruptionResult

RESULTS = Path(__file__).parent / "results"
MODALITY = "chest X-ray"
DRAWS = 4000
SPEC = CorruptionsSpec(modality=MODALITY, kinds=("medmnist-c",))
PLAN = make_plan(
    {
        "attacks": [{"name": "PGD", "steps": 20}],
        "audit": {"eps": ["1/255", "2/255", "4/255", "8/255"], "cells": "curve"},
    },
    "the experiment",
)
PUBLISHED = {
    "pixelate": 0.2210,
    "jpeg_compression": 0.2798,
    "gaussian_noise": 0.4415,
    "speckle_noise": 0.3457,
    "impulse_noise": 0.4581,
    "shot_noise": 0.4107,
    "gaussian_blur": 0.2731,
    "brightness_up": 0.1465,
    "brightness_down": 0.2782,
    "contrast_up": 0.0953,
    "contrast_down": 0.2374,
    "gamma_corr_up": 0.0961,
    "gamma_corr_down": 0.1664,
}
"""Mean balanced error over severities of torchvision's AlexNet at 224 pixels, as Di Salvo et al.
2024 publish it with medmnistc 0.1.0 (`utils/baselines.py`); clean .1009."""


@dataclass(frozen=True)
class Measured:
    """One model: its result, and what it rests on case by case."""

    result: CorruptionResult
    errors: Array
    """`(kinds, n)`: mean error of each image over the severities."""
    labels: Array


def test_cases() -> Cases:
    return open_cases(MEDMNIST, split="test", group="none", classes=("normal", "pneumonia"))


def alexnet() -> Classifier:
    """The reference."""
    network = SmallAlexNet()
    network.load_state_dict(torch.load(ALEXNET, weights_only=True))
    return Classifier(network, channels=1, mean=0.5, std=0.5, head="softmax")


def published_cnn() -> Classifier:
    network = PneumoniaCNN()
    weights = DATA / "models" / "pneumoniamnist_cnn.pth"
    network.load_state_dict(torch.load(weights, weights_only=True))
    return Classifier(network, channels=1, mean=0.5, std=0.5, head="sigmoid")


@contextmanager
def finished_attacks(model: Adapter, cases: Cases) -> Iterator[Session]:
    """A run whose attacks are finished, with the AlexNet as the reference."""
    inputs = RunInputs(model, cases, make_attacks(PLAN.attacks), corruption_reference=alexnet())
    with tempfile.TemporaryDirectory() as folder:
        store = RunStore(Path(folder))
        try:
            session = start_session(PLAN, inputs, store, RunOptions("cpu"))
            session.runner.attack(session.cells, PLAN.audit.seed)
            yield session
        finally:
            store.close()


def measured(model: Adapter) -> Measured:
    """Every kind and severity on the test split."""
    cases = test_cases()
    with finished_attacks(model, cases) as session:
        result = run_corruptions(SPEC, PLAN.audit, session)
        assert result is not None
        kinds, severities = corruptions_of(MODALITY, SPEC.kinds), list(SPEC.severities)
        sample = CorruptedSample.of(session, SPEC.cases, PLAN.audit.seed)
        found = predict_corrupted(session, sample, kinds, severities, PLAN.audit.seed)
        labels = np.array([cases.entries[row].label for row in sample.rows])
    errors = [
        np.mean([found.corrupted[k.name, s].kept.argmax(1) != labels for s in severities], axis=0)
        for k in kinds
    ]
    return Measured(result, np.stack(errors), labels)


def order(one: Measured, other: Array) -> tuple[float, float, float]:
    """Rank correlation of the kinds with `other (kinds,)`, and its interval: bootstrap of images.

    Percentiles; `other` is taken as it is.
    """
    rng = np.random.default_rng(0)
    count = len(one.labels)

    def balanced(weights: Array) -> Array:
        sides = [
            (one.errors * weights * (one.labels == k)).sum(1) / (weights * (one.labels == k)).sum()
            for k in (0, 1)
        ]
        mean: Array = np.mean(sides, axis=0)
        return mean

    def correlation(weights: Array) -> float:
        return float(spearmanr(balanced(weights), other).statistic)

    drawn = [
        correlation(np.bincount(rng.integers(0, count, count), minlength=count).astype(float))
        for _ in range(DRAWS)
    ]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return correlation(np.ones(count)), float(low), float(high)


def main() -> None:
    """Measure all three models."""
    torch.set_num_threads(1)
    models: dict[str, Adapter] = {
        "small AlexNet": alexnet(),
        "ResNet-10t": load_trained(RESNET),
        "published CNN": published_cnn(),
    }
    every = {name: measured(model) for name, model in models.items()}
    kinds, orders = [], []
    names = [kind.kind for kind in every["small AlexNet"].result.kinds]
    published = np.array([PUBLISHED[name] for name in names])
    reference = np.array([kind.error.value for kind in every["small AlexNet"].result.kinds])
    for name, one in every.items():
        found = one.result
        for kind in found.kinds:
            middle = found.at(kind.kind, 3)
            attacked = "" if middle.attacked is None else f"{middle.attacked.value:.4f}"
            ratios = ["" if r is None else f"{r:.3f}" for r in (kind.be, kind.rbe)]
            ends = [f"{end:.4f}" for end in kind.error.interval or ()]
            at = (kind.kind, f"{PUBLISHED[kind.kind]:.4f}", f"{kind.error.value:.4f}", *ends)
            size = f"{middle.median_l2.value:.3f}", f"{middle.error.value:.4f}", attacked
            kinds.append([name, *at, *ratios, *size])
        clean = [f"{v:.4f}" for v in (found.clean.value, *(found.clean.interval or ()))]
        mean = [f"{v:.4f}" for v in (found.mean.value, *(found.mean.interval or ()))]
        ratios = ["" if r is None else f"{r:.3f}" for r in (found.be, found.rbe)]
        for what, other in (("published AlexNet", published), ("small AlexNet", reference)):
            if what != name:
                figures = [f"{v:.3f}" for v in order(one, other)]
                orders.append([name, what, *figures, *clean, *mean, *ratios])
    columns = "model kind published error low high be rbe l2_at_3 error_at_3 attacked_at_3"
    write("kinds", columns, kinds)
    columns = "model against rho low high clean clean_low clean_high mean mean_low mean_high be rbe"
    write("orders", columns, orders)


def write(name: str, columns: str, rows: list[list[str]]) -> None:
    """A table as results/NAME.csv."""
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([columns.split(), *rows])


if __name__ == "__main__":
    main()
