"""Frozen ImageNet, frozen random and hand-made features with a linear head, beside fine-tuning.

Run: `python -m experiments.frozen.run`. Chest X-rays at 64 x 64 pixels; every network is trained by
`robust train` into `experiments/built/frozen/ARM-SEED` (one that is finished is left alone), scored
on the test split, and attacked by PGD with 10 steps at 1/255 in L-inf. Writes
`experiments/frozen/results/frozen.csv` and `frozen.png`.
"""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch

from attacks import PGD, Streams, ThreatModel
from experiments.models import BUILT, CHEST, SQUEEZENET, at_random_start
from robust.cases.case import Cases, sample_rows
from robust.metrics.by_group import ByGroup
from robust.models import prepare
from robust.models.trained import load_trained
from robust.training.recipe import Recipe, make_recipe
from robust.training.splits import open_training_splits
from robust.training.train import train_model

RESULTS = Path(__file__).parent / "results"
SEEDS = (0, 1, 2)
PIXELS, IMAGES, CASES, STEPS, EPS = 64, 400, 60, 10, 1 / 255
GIST = {"architecture": "robust:gist", "pretrained": False}
HEAD_ALONE = {"freeze": True, "epochs": 15, "lr": 5e-3}
ARMS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "fine-tuned ImageNet": (SQUEEZENET, {"epochs": 4, "lr": 3e-4}),
    "frozen ImageNet": (SQUEEZENET, HEAD_ALONE),
    "frozen random": (at_random_start(SQUEEZENET), HEAD_ALONE),
    "hand-made": (GIST, HEAD_ALONE),
}
"""Network and training of each arm: SqueezeNet 1.1, but for the hand-made features."""


def recipe_of(arm: str, seed: int) -> Recipe:
    network, training = ARMS[arm]
    return make_recipe(
        {
            "data": {"path": CHEST, "limit": IMAGES, "size": PIXELS},
            "network": {**network, "size": PIXELS},
            "training": {**training, "batch": 32, "seed": seed},
        }
    )


def test_cases(recipe: Recipe) -> Cases:
    test = open_training_splits(recipe).test
    assert test is not None
    return test.select(sorted(sample_rows(test.entries, list(range(len(test))), CASES, 0)))


def measured(folder: Path, cases: Cases) -> tuple[np.ndarray, np.ndarray]:
    """The finding's log odds `(n,)` on clean images, and which cases PGD leaves right `(n,)`."""
    network = prepare(load_trained(folder), torch.device("cpu"))
    x = torch.stack([cases[row].image for row in range(len(cases))])
    y = torch.tensor([entry.label for entry in cases.entries])
    with torch.no_grad():
        logits = torch.cat([network(part) for part in torch.split(x, 50)])
    right = logits.argmax(1) == y
    kept = right.clone()
    streams = Streams.of(0, [entry.id for entry in cases.entries], "frozen")
    rows = right.nonzero().flatten()
    for part in torch.split(rows, 50):
        attack = PGD(steps=STEPS, start="random", loss="margin")
        x_adv = attack(network, x[part], y[part], ThreatModel("Linf", EPS), streams[part])
        assert (x_adv - x[part]).abs().max() <= EPS + 1e-6
        with torch.no_grad():
            kept[part] = network(x_adv).argmax(1) == y[part]
    return (logits[:, 1] - logits[:, 0]).numpy(), kept.numpy()


def text(found: Any) -> str:
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def main() -> None:
    torch.set_num_threads(1)
    began, rows, shown = time.process_time(), [], []
    for arm in ARMS:
        odds, kept, clean = [], [], []
        for seed in SEEDS:
            recipe, at = recipe_of(arm, seed), time.process_time()
            folder = BUILT / "frozen" / f"{arm.replace(' ', '-')}-{seed}"
            train_model(recipe, folder, device="cpu", progress=False)
            cases = test_cases(recipe)
            labels = np.array([entry.label for entry in cases.entries])
            scores, robust = measured(folder, cases)
            odds.append(scores)
            kept.append(robust.astype(float))
            clean.append(((scores > 0) == labels).astype(float))
            groups = ByGroup([entry.group for entry in cases.entries])
            every = np.ones(len(labels), bool)
            auc = groups.auc(scores, labels == 1, every)
            seconds = time.process_time() - at
            shares = [f"{one[-1].mean():.3f}" for one in (clean, kept)]
            rows.append([arm, seed, text(auc), *shares, f"{seconds:.0f}"])
            print(rows[-1], flush=True)
        all_auc = groups.mean_auc([(one, labels == 1) for one in odds], every)
        means = [groups.mean(np.mean(one, 0), every) for one in (clean, kept)]
        rows.append([arm, "mean", text(all_auc), *map(text, means), ""])
        shown.append((arm, [all_auc, *means]))
        print(rows[-1], flush=True)
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / "frozen.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["features", "seed", "AUC", "accuracy", "robust accuracy", "CPU seconds"])
        writer.writerows(rows)
    draw(shown)
    print(f"{time.process_time() - began:.0f} CPU seconds")


def draw(shown: list[tuple[str, list[Any]]]) -> None:
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
    for k, what in enumerate(("AUC", "accuracy", "robust accuracy at 1/255")):
        found = [estimates[k] for _, estimates in shown]
        values = np.array([one.value for one in found])
        reach = [values - [one.low for one in found], [one.high for one in found] - values]
        places = np.arange(len(found)) + 0.2 * (k - 1)
        axes.errorbar(places, values, reach, fmt="osD"[k], capsize=3, label=what)
    axes.set_xticks(range(len(shown)), [arm for arm, _ in shown])
    axes.set_ylim(0, 1)
    axes.legend(frameon=False)
    figure.savefig(RESULTS / "frozen.png", dpi=120)


if __name__ == "__main__":
    main()
