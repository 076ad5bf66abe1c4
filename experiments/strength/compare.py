"""Does any other library find an adversarial image more often, or nearer, than ours?

Run: `.venv-peers/bin/python -m experiments.strength.compare [--large]` after `make peers` (one CPU
core: about 40 minutes; `--large`, three networks at 112 px, 16 images, one seed, 300 gradients to
a nearest image and no ensembles, about twice as long).
Paired by image, at the same number of gradients, over five seeds. Writes `results/fixed.csv` (cases
that the peer breaks, that ours breaks, that only the peer breaks) and `results/nearest.csv` (median
distance, its ratio to ours, and optimality after AttackBench, Cina et al. 2024).
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import torch
from torch import Tensor

from attacks import (
    APGD,
    FAB,
    FMN,
    Attack,
    AutoAttack,
    MinimumNormEnsemble,
    Square,
    Streams,
    ThreatModel,
)
from experiments.strength import peers
from experiments.strength.networks import LARGE, SMALL, Network
from robust.benchmark.peers import seeded

RESULTS = Path(__file__).parent / "results"
STEPS, QUERIES = 100, 1000
"""Gradients of APGD, queries of Square."""
FIXED: dict[str, tuple[Attack, dict[str, peers.Peer]]] = {
    "APGD, cross-entropy": (APGD(STEPS), peers.apgd("cross_entropy", STEPS)),
    "APGD, DLR": (APGD(STEPS, loss="dlr"), peers.apgd("dlr", STEPS)),
    "Square": (Square(QUERIES), peers.square(QUERIES)),
    "ensemble": (AutoAttack(), peers.ensembles()),
}


class Counted(torch.nn.Module):
    """The model, and how many rows went through it with a gradient wanted, and in all."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model, self.gradients, self.rows = model, 0, 0

    def forward(self, x: Tensor) -> Tensor:
        self.rows += len(x)
        self.gradients += len(x) if x.requires_grad else 0
        logits: Tensor = self.model(x)
        return logits


def broken(network: Network, x_adv: Tensor, norm: str, eps: float) -> Tensor:
    """Cases with another label inside the limits; the rounding of float32 is forgiven."""
    distance = ThreatModel(norm, eps).distance(x_adv, network.x)
    boxed = ((x_adv >= 0) & (x_adv <= 1)).flatten(1).all(1)
    with torch.no_grad():
        wrong = network.model(x_adv).argmax(1) != network.y
    kept: Tensor = wrong & boxed & (distance <= eps + 2e-6)
    return kept


def ours(attack: Attack, seed: int) -> peers.Peer:
    """An attack of this suite, called like a peer's."""

    def run(model: torch.nn.Module, x: Tensor, y: Tensor, norm: str, eps: float) -> Tensor:
        return attack(model, x, y, ThreatModel(norm, eps), Streams.of(seed, range(len(x))))

    return run


def attacked(
    network: Network, run: peers.Peer, norm: str, eps: float, seed: int
) -> tuple[Tensor, float, float, str]:
    """The images, gradients and queries a case, and why it failed, if it did."""
    model = Counted(network.model).eval()
    x_adv, failed = network.x.clone(), ""
    with seeded(seed), redirect_stdout(io.StringIO()):
        try:
            x_adv = run(model, network.x.clone(), network.y.clone(), norm, eps).detach()
        except Exception as error:  # noqa: BLE001 -- what a peer raises is what the table is about
            failed = f"{type(error).__name__}: {error}".split("\n")[0][:80]
    count = len(network.x)
    return x_adv, model.gradients / count, model.rows / count, failed


def fixed(name: str, network: Network) -> Iterator[list[object]]:
    """One row for each attack, norm and peer: the seed at which ours misses most."""
    for attack_name, (attack, others) in FIXED.items():
        if attack_name == "ensemble" and not network.ensembles:
            continue
        for norm, eps in network.eps.items():
            mine = [
                attacked(network, ours(attack, seed), norm, eps, seed)
                for seed in range(network.seeds)
            ]
            own = [broken(network, found[0], norm, eps) for found in mine]
            for peer, run in others.items():
                worst: list[object] | None = None
                for seed in range(network.seeds):
                    x_adv, gradients, rows, failed = attacked(network, run, norm, eps, seed)
                    theirs = broken(network, x_adv, norm, eps)
                    only, also = int((theirs & ~own[seed]).sum()), int((own[seed] & ~theirs).sum())
                    row = [name, attack_name, norm, f"{eps:.5f}", len(own[seed]), peer]
                    row += [int(theirs.sum()), int(own[seed].sum()), only, also]
                    row += [round(v) for v in (gradients, mine[seed][1], rows, mine[seed][2])]
                    if worst is None or only > int(str(worst[8])):
                        worst = [*row, failed]
                    if failed or attack_name == "ensemble":
                        break
                assert worst is not None
                yield worst


def nearest(name: str, network: Network) -> Iterator[list[object]]:
    with torch.no_grad():
        classes = network.model(network.x[:1]).shape[1]
    targets, budget = min(classes - 1, 9) if classes > 2 else 0, network.nearest
    every: dict[str, peers.Peer] = {
        "ours FMN": ours(FMN(budget), 0),
        "ours FAB": ours(FAB(budget // 5, restarts=5), 0),
        "ours MinimumDistance": ours(MinimumNormEnsemble(budget // (6 + targets)), 0),
        **peers.nearest(budget),
    }
    for norm in network.eps:
        found: dict[str, tuple[Tensor, float, str]] = {}
        for label, run in every.items():
            if norm == "Linf" and "DDN" in label:
                continue
            x_adv, gradients, _, failed = attacked(network, run, norm, math.inf, 0)
            distance = ThreatModel(norm, math.inf).distance(x_adv, network.x)
            works = broken(network, x_adv, norm, math.inf)
            found[label] = torch.where(works, distance, math.inf), gradients, failed
        best = torch.stack([distance for distance, _, _ in found.values()]).amin(0)
        end = float(best[best.isfinite()].max())
        ideal = float(best.clamp_max(end).mean())
        mine = float(found["ours MinimumDistance"][0].median())
        for label, (distance, gradients, failed) in found.items():
            area = float(distance.clamp_max(end).mean())
            optimality = 1 - (area - ideal) / (end - ideal)
            median = float(distance.median())
            row = [name, norm, label, round(gradients), int(distance.isfinite().sum())]
            yield [*row, f"{median:.5f}", f"{median / mine:.4f}", f"{optimality:.4f}", failed]


FIXED_COLUMNS = (
    *("network", "attack", "norm", "eps", "images", "peer", "peer_breaks", "ours_breaks"),
    *("only_peer", "only_ours", "peer_gradients", "our_gradients", "peer_rows", "our_rows"),
    "peer_failed",
)
NEAREST_COLUMNS = (
    *("network", "norm", "attack", "gradients", "found", "median", "median_over_ours"),
    *("optimality", "failed"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true", help="the networks of 112 px alone")
    large = parser.parse_args().large
    RESULTS.mkdir(exist_ok=True)
    for table, columns, make in (
        ("nearest", NEAREST_COLUMNS, nearest),
        ("fixed", FIXED_COLUMNS, fixed),
    ):
        path = RESULTS / f"{table}{'_large' if large else ''}.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            for name, build in (LARGE if large else SMALL).items():
                since = time.perf_counter()
                network = build()
                for row in make(name, network):
                    writer.writerow(row)
                    file.flush()
                    print(*row, sep=", ", flush=True)
                print(f"{name}: {time.perf_counter() - since:.0f} s", flush=True)


if __name__ == "__main__":
    main()
