"""Errors on corrupted PneumoniaMNIST, and the order of kinds against the published one.

Run after `python -m experiments.corruptions.networks`: `python -m experiments.corruptions.measure`;
it writes `results/kinds.csv` and `results/orders.csv`. With the name of a model it measures that
one alone, so that several run at a time; what was measured stays in `runs/corruptions`. Every model
is audited on the 624 images of the test split, each kind of MedMNIST-C at each severity, beside
FGSM at four sizes.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
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
from robust.corruptions.scoring import relative_error, relative_increase
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
RUNS = Path("runs/corruptions")
MODALITY = "chest X-ray"
DRAWS = 4000
SPEC = CorruptionsSpec(modality=MODALITY, kinds=("medmnist-c",))
PLAN = make_plan(
    {
        "attacks": [{"name": "FGSM"}],
        "audit": {"eps": ["1/255", "2/255", "4/255", "8/255"]},
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
def finished_attacks(name: str, model: Adapter, cases: Cases) -> Iterator[Session]:
    """A run whose attacks are finished, in `runs/corruptions/NAME`; it goes on where it was."""
    inputs = RunInputs(model, cases, make_attacks(PLAN.attacks))
    folder = RUNS / name
    folder.mkdir(parents=True, exist_ok=True)
    store = RunStore(folder)
    try:
        session = start_session(PLAN, inputs, store, RunOptions("cpu"))
        session.runner.attack(session.cells, PLAN.audit.seed)
        yield session
    finally:
        store.close()


def measured(name: str) -> Measured:
    """Every kind and severity on the test split."""
    cases = test_cases()
    with finished_attacks(name, MODELS[name](), cases) as session:
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


REFERENCE = "small-alexnet"
MODELS: dict[str, Callable[[], Adapter]] = {
    REFERENCE: alexnet,
    "published-cnn": published_cnn,
    "resnet10t": partial(load_trained, RESNET),
}


def main() -> None:
    """Measure one model, or all and write the tables."""
    torch.set_num_threads(1)
    if sys.argv[1:]:
        measured(sys.argv[1])
        return
    every = {name: measured(name) for name in MODELS}
    its = every[REFERENCE].result
    kinds, orders = [], []
    names = [kind.kind for kind in its.kinds]
    published = np.array([PUBLISHED[name] for name in names])
    reference = np.array([kind.error.value for kind in its.kinds])
    for name, one in every.items():
        found = one.result
        ratios = []
        for kind, other in zip(found.kinds, its.kinds, strict=True):
            both = (
                relative_error(kind.error, other.error),
                relative_increase(kind.error, found.clean, other.error, its.clean),
            )
            ratios.append(both)
            middle = found.at(kind.kind, 3)
            attacked = "" if middle.attacked is None else f"{middle.attacked.value:.4f}"
            ends = [f"{end:.4f}" for end in kind.error.interval or ()]
            at = (kind.kind, f"{PUBLISHED[kind.kind]:.4f}", f"{kind.error.value:.4f}", *ends)
            size = f"{middle.median_l2.value:.3f}", f"{middle.error.value:.4f}", attacked
            kinds.append([name, *at, *map(text, both), *size])
        clean = [f"{v:.4f}" for v in (found.clean.value, *(found.clean.interval or ()))]
        mean = [f"{v:.4f}" for v in (found.mean.value, *(found.mean.interval or ()))]
        means = [np.mean([r for r in column if r is not None]) for column in zip(*ratios)]
        for what, errors in (("published", published), (REFERENCE, reference)):
            if what != name:
                figures = [f"{v:.3f}" for v in order(one, errors)]
                orders.append([name, what, *figures, *clean, *mean, *map(text, means)])
    columns = "model kind published error low high be rbe l2_at_3 error_at_3 attacked_at_3"
    write("kinds", columns, kinds)
    columns = "model against rho low high clean clean_low clean_high mean mean_low mean_high be rbe"
    write("orders", columns, orders)


def text(ratio: float | None) -> str:
    """BE or rBE; empty where there is none."""
    return "" if ratio is None else f"{ratio:.3f}"


def write(name: str, columns: str, rows: list[list[str]]) -> None:
    """A table as results/NAME.csv."""
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([columns.split(), *rows])


if __name__ == "__main__":
    main()
