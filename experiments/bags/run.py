"""How many of a bag's instances an attacker must change, by pooling: chest X-rays cut into patches.

Run: `python -m experiments.bags.run`. A chest X-ray of 96 x 96 pixels is a bag of nine instances of
32 x 32. SqueezeNet 1.1 from weights of ImageNet is trained in bags by `robust train`, with mean,
max and attention pooling and two seeds, into `experiments/built/bags/POOLING-SEED` (one that is
finished is left alone). PGD with 10 steps at 1/255 in L-inf then changes at most k instances of
each test bag. Writes `experiments/bags/results/bags.csv` and `bags.png`.
"""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from torch import Tensor

from attacks import PGD, Streams, ThreatModel
from experiments.models import BUILT, CHEST, SQUEEZENET
from robust.cases.case import Cases, sample_rows
from robust.engine.touch.instances import FewInstances
from robust.metrics.by_group import ByGroup
from robust.models import prepare
from robust.models.trained import load_trained
from robust.tasks.bags import BagLimits
from robust.training.recipe import Recipe, make_recipe
from robust.training.splits import open_training_splits
from robust.training.train import train_model

RESULTS = Path(__file__).parent / "results"
POOLINGS, SEEDS = ("mean", "max", "attention"), (0, 1)
SIDE, TILE, IMAGES, CASES, EPS = 96, 32, 240, 16, 1 / 255
MOST = (1, 3, 9)
ATTACK = PGD(steps=10, step_size=0.25, loss="margin", start="image")


def recipe_of(pooling: str, seed: int) -> Recipe:
    bag = {"pooling": pooling, "tile": TILE}
    return make_recipe(
        {
            "data": {"path": CHEST, "limit": IMAGES, "size": SIDE},
            "network": {**SQUEEZENET, "size": TILE, "bag": bag},
            "training": {"epochs": 3, "lr": 5e-4, "batch": 16, "seed": seed},
        }
    )


def test_bags(recipe: Recipe) -> Cases:
    test = open_training_splits(recipe).test
    assert test is not None
    return test.select(sorted(sample_rows(test.entries, list(range(len(test))), CASES, 0)))


@torch.no_grad()
def right(network: Any, x: Tensor, y: Tensor) -> Tensor:
    return torch.cat([network(part) for part in torch.split(x, 20)]).argmax(1) == y


def measured(folder: Path, cases: Cases) -> dict[int, np.ndarray]:
    """By k, with 0 for no attack: which bags stay right, `(n,)`."""
    network = prepare(load_trained(folder), torch.device("cpu"))
    x = torch.stack([cases[row].image for row in range(len(cases))])
    y = torch.tensor([entry.label for entry in cases.entries])
    kept = right(network, x, y)
    found = {0: kept.float().numpy()}
    ids = [entry.id for entry in cases.entries]
    for most in MOST:
        limits = BagLimits((TILE, TILE), most)
        rows = kept.nonzero().flatten()  # more instances do no less: what fell stays fallen
        if len(rows):
            streams = Streams.of(0, [ids[int(row)] for row in rows], "bags", most)
            attack = FewInstances(ATTACK, limits)
            x_adv = attack(network, x[rows], y[rows], ThreatModel("Linf", EPS), streams)
            assert (x_adv - x[rows]).abs().max() <= EPS + 1e-6
            assert limits.violations(x_adv, x[rows]) == [None] * len(rows)
            kept = kept.clone()
            kept[rows] = right(network, x_adv, y[rows])
        found[most] = kept.float().numpy()
    return found


def main() -> None:
    torch.set_num_threads(1)
    began, rows, curves = time.process_time(), [], {}
    for pooling in POOLINGS:
        of_seeds = []
        for seed in SEEDS:
            recipe, at = recipe_of(pooling, seed), time.process_time()
            folder = BUILT / "bags" / f"{pooling}-{seed}"
            train_model(recipe, folder, device="cpu", progress=False)
            cases = test_bags(recipe)
            of_seeds.append(measured(folder, cases))
            print(
                pooling,
                seed,
                {k: round(float(one.mean()), 3) for k, one in of_seeds[-1].items()},
                f"{time.process_time() - at:.0f} s",
                flush=True,
            )
        groups = ByGroup([entry.group for entry in cases.entries])
        every = np.ones(len(cases), bool)
        curves[pooling] = [
            groups.mean(np.mean([one[k] for one in of_seeds], 0), every) for k in (0, *MOST)
        ]
        for k, estimate in zip((0, *MOST), curves[pooling], strict=True):
            seeds = [f"{one[k].mean():.3f}" for one in of_seeds]
            low, high = f"{estimate.low:.3f}", f"{estimate.high:.3f}"
            rows.append([pooling, k, f"{estimate.value:.3f}", low, high, *seeds])
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / "bags.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        seeds = [f"seed {seed}" for seed in SEEDS]
        writer.writerow(["pooling", "instances", "accuracy", "low", "high", *seeds])
        writer.writerows(rows)
    draw(curves)
    print(f"{time.process_time() - began:.0f} CPU seconds")


def draw(curves: dict[str, list[Any]]) -> None:
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
    for number, (pooling, found) in enumerate(curves.items()):
        values = np.array([one.value for one in found])
        reach = [values - [one.low for one in found], [one.high for one in found] - values]
        places = np.array((0, *MOST)) + 0.08 * (number - 1)
        axes.errorbar(places, values, reach, fmt="-" + "osD"[number], capsize=3, label=pooling)
    axes.set_xlabel("instances that may change, of 9")
    axes.set_ylabel("robust accuracy at 1/255")
    axes.set_ylim(0, 1)
    axes.legend(frameon=False)
    figure.savefig(RESULTS / "bags.png", dpi=120)


if __name__ == "__main__":
    main()
