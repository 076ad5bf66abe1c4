"""Attacks against other libraries on a network that falls: chest X-rays at 224 px.

Run: `python -m experiments.speed.fragile [PGD|CarliniWagnerL2] [IMAGES] [ROUNDS]` with the peers
installed (`make peers`, then `.venv-peers/bin/python`). The network of `audits.chest`: the ImageNet
MobileNetV2 with a head fitted on its frozen features. Two CPU cores, ten minutes for 16 images.
"""

from __future__ import annotations

import sys

import torch
from rich.console import Console

from experiments.speed.audits import chest
from robust.benchmark.contest import benchmark_attacks, contest
from robust.benchmark.workloads import Workload
from robust.cli.bench import show
from robust.models import full_precision, prepare


def main(name: str = "PGD", images: str = "16", rounds: str = "2") -> None:
    classifier, cases, _ = chest(2 * int(images))
    ready = prepare(classifier)
    x = torch.stack([case.image.expand(3, -1, -1) for case in cases])
    y = torch.tensor([case.label for case in cases])
    with torch.no_grad(), full_precision():
        right = torch.cat([ready(part) for part in x.split(16)]).argmax(1) == y
    x, y = x[right][: int(images)], y[right][: int(images)]
    (attack,) = benchmark_attacks([name], 20).values()
    console = Console()
    console.print(f"{len(x)} chest X-rays, {torch.get_num_threads()} threads")
    everyone, attacker = contest(Workload(ready, x, y), attack, 1 / 255, rounds=int(rounds))
    show(everyone, attacker, attack, "1/255", console)


if __name__ == "__main__":
    main(*sys.argv[1:])
