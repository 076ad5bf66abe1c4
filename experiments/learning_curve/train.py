"""Accuracy of small networks on PneumoniaMNIST against the number of training images.

Run: `python -m experiments.learning_curve.train` (about 1 minute of one core). Six sizes, three
seeds; each seed draws its own training images. Every network gets the same number of steps. PGD
with 20 steps attacks the same 300 test images at 1/255 in L-inf. Writes `results/models.csv`.
"""

from __future__ import annotations

import csv
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks import PGD, Streams, ThreatModel
from experiments.certificates.networks import images
from experiments.pneumoniamnist.network import PneumoniaCNN
from robust.models.classifier import Classifier

RESULTS = Path(__file__).parent / "results"
SIZES, SEEDS = (75, 150, 300, 600, 1200, 2400), range(3)
STEPS, BATCH, ATTACKED, EPS = 200, 64, 300, 1 / 255


def trained(x: Tensor, y: Tensor, seed: int) -> Classifier:
    torch.manual_seed(seed)
    model = Classifier(PneumoniaCNN(), mean=0.5, std=0.5, channels=1, head="sigmoid")
    weight = len(y) / (2 * torch.bincount(y, minlength=2).clamp(1).float())
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    model.train()
    for _ in range(STEPS):
        rows = torch.randint(len(y), (BATCH,))
        loss = F.cross_entropy(model(x[rows]), y[rows], weight)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


def accuracies(model: Classifier, x: Tensor, y: Tensor) -> tuple[float, float]:
    """Without attack, and under PGD; what is wrong without attack counts as wrong."""
    with torch.no_grad():
        right = model(x).argmax(1) == y
    streams = Streams.of(0, [str(row) for row in right.nonzero().flatten().tolist()], "PGD")
    x_adv = PGD(steps=20)(model, x[right], y[right], ThreatModel("Linf", EPS), streams)
    assert (x_adv - x[right]).abs().max() <= EPS + 1e-6
    with torch.no_grad():
        kept = model(x_adv).argmax(1) == y[right]
    return float(right.float().mean()), float(kept.sum()) / len(y)


def main() -> None:
    x, y = images("train")
    test, labels = images("test")
    rows = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))[:ATTACKED]
    RESULTS.mkdir(exist_ok=True)
    began = time.process_time()
    with (RESULTS / "models.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("images", "seed", "accuracy", "robust_accuracy"))
        for size in SIZES:
            for seed in SEEDS:
                draw = torch.Generator().manual_seed(1000 + seed)
                own = torch.randperm(len(y), generator=draw)[:size]
                model = trained(x[own], y[own], seed)
                found = accuracies(model, test[rows], labels[rows])
                table.writerow((size, seed, *(f"{one:.6f}" for one in found)))
                file.flush()
    print(f"{time.process_time() - began:.0f} s of one core")


if __name__ == "__main__":
    main()
