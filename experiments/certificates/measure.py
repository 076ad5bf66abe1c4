"""How far apart are what bounds prove of a network and what attacks find on it?

Run: `python -m experiments.certificates.measure [--cases 100]`, then
`python -m experiments.certificates.summary`. Two networks of one shape on a random sample of the
official PneumoniaMNIST test images: proven L-inf radius by intervals and by CROWN, and the nearest
image that attacks find with another class. What is finished is kept in experiments/built, case by
case, and taken up again.
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from pathlib import Path

import torch
from torch import Tensor

from attacks import FMN, Attack, AutoAttack, Streams, ThreatModel
from experiments.certificates.networks import HARDENED, NETWORKS, images
from robust.certificates.interval_bounds import IntervalBounds
from robust.certificates.linear_relaxation import CROWN
from robust.models.classifier import Classifier

CERTIFICATES = {
    "interval": IntervalBounds(tolerance=0.01),
    "crown_interval": CROWN(intermediate="interval", tolerance=0.01),
    "crown": CROWN(tolerance=0.03),
}
EPS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""In grey levels."""
AT_ONCE = 20
SECONDS = ("seconds_crown", "seconds_attack")
COLUMNS = ("row", "label", "predicted", *CERTIFICATES, "attacked", *SECONDS)


def kept(name: str) -> Path:
    return HARDENED.parent / f"{name}.csv"


def nearest(model: Classifier, x: Tensor, y: Tensor, streams: Streams) -> Tensor:
    """The distance of the nearest image of another class that any attack finds.

    AutoAttack runs on the images that are not known to fall at its eps.
    """
    found = torch.full((len(x),), math.inf, dtype=torch.float64)
    for level in (math.inf, *EPS):
        eps = level / 255
        attack: Attack = FMN() if math.isinf(eps) else AutoAttack()
        rows = (found > min(eps, 1.0)).nonzero().flatten().tolist()
        if rows:
            threat = ThreatModel("Linf", eps)
            x_adv = attack(model, x[rows], y[rows], threat, streams[rows])
            with torch.no_grad():
                fooled = model(x_adv).argmax(1) != y[rows]
            distance = (x_adv.double() - x[rows].double()).abs().flatten(1).amax(1)
            distance = torch.where(fooled, distance, math.inf)
            found[rows] = torch.minimum(found[rows], distance)
    return found


def measure(name: str, rows: list[int]) -> list[dict[str, float]]:
    model = NETWORKS[name]()
    x, y = images("test")
    x, y = x[rows], y[rows]
    radii, seconds = {}, {}
    for kind, certificate in CERTIFICATES.items():
        start = time.process_time()
        proven = certificate(model, x, Streams.of(0, rows))
        seconds[kind] = time.process_time() - start
        radii[kind] = proven.radius
    start = time.process_time()
    attacked = nearest(model, x, proven.predicted, Streams.of(0, rows))
    seconds["attack"] = time.process_time() - start
    return [
        {
            "row": row,
            "label": int(y[i]),
            "predicted": int(proven.predicted[i]),
            **{kind: float(radius[i]) for kind, radius in radii.items()},
            "attacked": float(attacked[i]),
            "seconds_crown": seconds["crown"] / len(rows),
            "seconds_attack": seconds["attack"] / len(rows),
        }
        for i, row in enumerate(rows)
    ]


def main(count: int) -> None:
    torch.set_num_threads(1)
    order = torch.randperm(624, generator=torch.Generator().manual_seed(0))[:count].tolist()
    for start in range(0, count, AT_ONCE):
        rows = order[start : start + AT_ONCE]
        for name in NETWORKS:
            path = kept(name)
            if path.exists() and str(rows[-1]) in [r["row"] for r in read(name)]:
                continue
            new = not path.exists()
            path.parent.mkdir(parents=True, exist_ok=True)
            found = measure(name, rows)
            with path.open("a", newline="") as file:
                table = csv.DictWriter(file, COLUMNS)
                if new:
                    table.writeheader()
                table.writerows(found)


def read(name: str) -> list[dict[str, str]]:
    """What is measured so far, case by case."""
    with kept(name).open(newline="") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=100)
    main(parser.parse_args().cases)
