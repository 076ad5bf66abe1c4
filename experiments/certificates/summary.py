"""Tables of what `experiments.certificates.measure` has found: no case on its own.

Run: `python -m experiments.certificates.summary`; writes `results/accuracy.csv` and
`results/gaps.csv`, and prints both for RESULTS.md.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt

from experiments.certificates.measure import CERTIFICATES, EPS, SECONDS, read
from experiments.certificates.networks import NETWORKS
from robust.metrics.by_group import ByGroup
from robust.records.estimate import Estimate, interval_text

RESULTS = Path(__file__).parent / "results"
Columns = dict[str, npt.NDArray[np.float64]]


def columns(name: str) -> Columns:
    rows = read(name)
    return {key: np.array([float(row[key]) for row in rows]) for key in rows[0]}


def said(found: Estimate | None, digits: int = 3) -> str:
    return "" if found is None else f"{found.value:.{digits}f} {interval_text(found)}"


def accuracy(name: str, of: Columns) -> list[dict[str, object]]:
    """Shares of the images that are read right and stay so, proven or attacked."""
    right, each = of["predicted"] == of["label"], ByGroup(range(len(of["row"])))
    rows: list[dict[str, object]] = []
    for level in (0.0, *EPS):
        eps = level / 255
        shares = {kind: said(each.rate(right & (of[kind] >= eps))) for kind in CERTIFICATES}
        left = said(each.rate(right & ((of["attacked"] > eps) | (eps == 0))))
        rows.append({"network": name, "eps x 255": level, **shares, "attacked": left})
    return rows


def gaps(name: str, of: Columns) -> list[dict[str, object]]:
    """How the attacked distance compares with each proven radius, over all images."""
    each, every = ByGroup(range(len(of["row"]))), np.ones(len(of["row"]), bool)
    rows: list[dict[str, object]] = []
    for kind in CERTIFICATES:
        proven = of[kind] > 0
        ratio = of["attacked"] / np.where(proven, of[kind], np.inf)
        rows.append(
            {
                "network": name,
                "certificate": kind,
                "images": len(every),
                "proven": int(proven.sum()),
                "crossings": int((of["attacked"] < of[kind]).sum()),
                "median radius x 255": said(each.median(255 * of[kind], every), 2),
                "median attacked x 255": said(each.median(255 * of["attacked"], every), 2),
                "median ratio": said(each.median(ratio, proven), 2),
                "largest ratio": f"{ratio[proven].max():.1f}",
            }
        )
    return rows


def write(name: str, rows: list[dict[str, object]]) -> None:
    with (RESULTS / name).open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    print("| " + " | ".join(rows[0]) + " |\n|" + " --- |" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(map(str, row.values())) + " |")
    print()


def main() -> None:
    RESULTS.mkdir(exist_ok=True)
    found = {name: columns(name) for name in NETWORKS}
    write("accuracy.csv", [row for name, of in found.items() for row in accuracy(name, of)])
    write("gaps.csv", [row for name, of in found.items() for row in gaps(name, of)])
    for name, of in found.items():
        spent = ", ".join(f"{key} {of[key].mean():.1f}" for key in SECONDS)
        print(f"{name}: processor seconds for each image: {spent}")


if __name__ == "__main__":
    main()
