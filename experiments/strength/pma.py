"""Does the margin of probabilities (PMA) break more than APGD at equal gradients?

Run: `python -m experiments.strength.pma` (one CPU core: minutes). 100 gradients a case and one run,
L-inf, on cases that the network reads right. Writes `results/pma.csv`: success with its 95 %
interval by group, and PMA less each other attack on the same cases. Of MedMNIST, which names no
patients, and of patterns each image is a group.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import torch

from attacks import APGD, PGD, PMA, Attack, Streams, ThreatModel
from experiments.strength.compare import broken
from experiments.strength.networks import SMALL
from robust.metrics.by_group import ByGroup
from robust.metrics.paired import Paired

STEPS = 100
NETWORKS = ("PneumoniaMNIST, 2 classes", "patterns, 7 classes", "patterns, 10 classes")
ATTACKS: dict[str, Attack] = {
    "PMA": PMA(steps=STEPS),
    "PGD, margin": PGD(steps=STEPS, loss="margin"),
    "APGD, probability margin": APGD(steps=STEPS, loss="probability_margin"),
    "APGD, cross-entropy": APGD(steps=STEPS),
    "APGD, margin": APGD(steps=STEPS, loss="margin"),
    "APGD, DLR": APGD(steps=STEPS, loss="dlr"),
}
COLUMNS = (
    *("network", "eps", "cases", "attack", "success", "low", "high"),
    *("pma_less_this", "difference_low", "difference_high"),
)


def main() -> None:
    path = Path(__file__).parent / "results" / "pma.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for name in NETWORKS:
            network = SMALL[name]()
            model, x, y, eps = network.model, network.x, network.y, network.eps["Linf"]
            groups, every = list(range(len(x))), np.ones(len(x), bool)
            torch.manual_seed(0)
            won = {
                label: broken(
                    network,
                    attack(model, x, y, ThreatModel("Linf", eps), Streams.of(0, groups)),
                    "Linf",
                    eps,
                ).numpy()
                for label, attack in ATTACKS.items()
            }
            for label, fallen in won.items():
                rate = ByGroup(groups).rate(fallen)
                less = Paired(groups).difference((fallen, every), (won["PMA"], every))
                assert rate is not None and less is not None
                row = [rate.value, rate.low, rate.high, less.value, less.low, less.high]
                row = [f"{one:.4f}" for one in row]
                writer.writerow([name, f"{eps:.5f}", len(x), label, *row])
                print(name, label, *row, flush=True)


if __name__ == "__main__":
    main()
