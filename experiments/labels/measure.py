"""Accuracy against the number of labels, where a criterion chooses which images are labelled next.

Run: `python -m experiments.labels.measure [--only SET ...] [--seeds N]` (ten minutes on one CPU
core). Writes `results/SET.csv`: for each criterion and seed the accuracy after each round, and that
of the same network trained on all labels. `experiments.labels.tables` reads them.

Every criterion starts from the same random images and the same random weights of a seed, and looks
in each round at the same number of unlabelled images, drawn at random. The network is kept: it is
trained on with the new labels and a share of the old ones (O-MedAL, Smailagic et al. 2020).
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from experiments.labels.learner import Learner
from robust.ranking.combine import TwoStages
from robust.ranking.contract import Criterion
from robust.ranking.criteria.adversarial_distance import AdversarialDistance
from robust.ranking.criteria.entropy import PredictiveEntropy
from robust.ranking.criteria.feature_distance import FeatureDistance
from robust.ranking.criteria.margin import ProbabilityMargin
from robust.ranking.criteria.mean_distance import MeanDistance
from robust.ranking.criteria.random_order import RandomOrder

DATA = Path("../shared/data/medmnist")
RESULTS = Path(__file__).parent / "results"
ALL = "all labels"
"""In place of a criterion: the network that was trained on every image of the train split."""
SEEDS = 10
OLD = 0.5
"""Share of the old labels in each epoch."""
SPLITS = ("val", "test")
"""Of PneumoniaMNIST the first is of the children that train is of, the second is not."""
FIELDS = ("set", "criterion", "seed", "labels", *SPLITS)


@dataclass(frozen=True)
class Setting:
    """How a set is learned."""

    start: int
    """Images that are labelled at random at the start."""
    step: int
    """Images that are labelled in each round."""
    rounds: int
    looked_at: int
    """Unlabelled images that are ranked in each round."""
    epochs: int
    """In each round."""
    epochs_all: int
    """Of the network that is trained on all labels."""


SETTINGS = {
    "pneumoniamnist": Setting(30, 30, 30, 400, 12, 12),
    "retinamnist": Setting(40, 40, 15, 400, 12, 40),
}


def criteria(seed: int) -> dict[str, Criterion]:
    """By the name in the tables."""
    return {
        "random": RandomOrder(seed),
        "margin": ProbabilityMargin(),
        "entropy": PredictiveEntropy(),
        "feature-distance": FeatureDistance(),
        "distance": AdversarialDistance(),
        "o-medal": TwoStages(PredictiveEntropy(), MeanDistance(), 0.25),
    }


@dataclass(frozen=True)
class Images:
    """Images to learn from, in [0, 1] `(n, c, h, w)`, with their classes; those to judge on."""

    x: Tensor
    y: Tensor
    judged: tuple[tuple[Tensor, Tensor], ...]
    """Images and classes of each split."""

    @property
    def classes(self) -> int:
        return int(self.y.max()) + 1


def load(name: str) -> Images:
    with np.load(DATA / f"{name}.npz") as file:
        arrays = {key: torch.from_numpy(file[key]) for key in file}

    def images(split: str) -> Tensor:
        x = arrays[f"{split}_images"].float() / 255
        return x[:, None] if x.ndim == 3 else x.permute(0, 3, 1, 2).contiguous()

    def labels(split: str) -> Tensor:
        return arrays[f"{split}_labels"].flatten().long()

    judged = tuple((images(split), labels(split)) for split in SPLITS)
    return Images(images("train"), labels("train"), judged)


def accuracies(learner: Learner, images: Images) -> list[float]:
    """On each split."""
    return [learner.accuracy(x, y) for x, y in images.judged]


def curve(
    images: Images, setting: Setting, criterion: Criterion, seed: int
) -> Iterator[tuple[int, list[float]]]:
    """Number of labels and accuracy on each split, after the start and after each round."""
    learner = Learner(images.x, images.y, images.classes, seed)
    rng = np.random.default_rng(1000 + seed)
    labelled = rng.permutation(len(images.x))[: setting.start]
    learner.train(labelled, labelled[:0], OLD, setting.epochs)
    yield len(labelled), accuracies(learner, images)
    for _ in range(setting.rounds):
        left = np.setdiff1d(np.arange(len(images.x)), labelled)
        rows = np.sort(rng.choice(left, min(setting.looked_at, len(left)), replace=False))
        ranking = criterion(learner.pool(rows, labelled, criterion), setting.step)
        new = rows[ranking.order[: setting.step]]
        learner.train(new, labelled, OLD, setting.epochs)
        labelled = np.concatenate([labelled, new])
        yield len(labelled), accuracies(learner, images)


def with_all(images: Images, setting: Setting, seed: int) -> list[float]:
    """Accuracy on each split of the network that is trained on every image."""
    learner = Learner(images.x, images.y, images.classes, seed)
    every = np.arange(len(images.x))
    learner.train(every, every[:0], OLD, setting.epochs_all)
    return accuracies(learner, images)


def path_of(name: str) -> Path:
    return RESULTS / f"{name}.csv"


def texts(values: list[float]) -> list[str]:
    return [f"{value:.4f}" for value in values]


def measure(name: str, seeds: int) -> None:
    """Write the curves of one set, seed by seed."""
    setting, images = SETTINGS[name], load(name)
    with path_of(name).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(FIELDS)
        for seed in range(seeds):
            began = time.process_time()
            found = with_all(images, setting, seed)
            table.writerow([name, ALL, seed, len(images.x), *texts(found)])
            for label, criterion in criteria(seed).items():
                for labels, found in curve(images, setting, criterion, seed):
                    table.writerow([name, label, seed, labels, *texts(found)])
            file.flush()
            print(f"{name} {seed}: {time.process_time() - began:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=list(SETTINGS), metavar="SET")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    told = parser.parse_args()
    torch.set_num_threads(1)
    RESULTS.mkdir(exist_ok=True)
    for name in told.only:
        measure(name, told.seeds)


if __name__ == "__main__":
    main()
