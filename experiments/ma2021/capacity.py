"""Does a larger network fall more easily? The sweep that the paper argues from and never ran.

Run: `python -m experiments.ma2021.capacity [--quick]` (about five minutes on one CPU core). Four
residual networks from a random start, the same chest X-rays at 64 px, the same eight epochs. Writes
`results/capacity.csv` (parameters, clean AUC, accuracy at 1/255 under the
strongest of the four, the least eps at which half of the images have fallen),
`results/capacity_curves.csv`, `results/capacity_difficulty.csv` and `results/capacity.png`.

Cells and accuracy as in `curves.py`; the strongest of four is asked in one run of all of them.
"""

from __future__ import annotations

import robust
from experiments.ma2021.attack_table import test_scores
from experiments.ma2021.common import (
    FOUR,
    PAPER,
    Options,
    audited,
    interval,
    numbers,
    percent,
    started,
    write_table,
)
from experiments.ma2021.curves import EPS, Point, curve, plot, tables
from robust.records import Estimate

MODELS = {f"capacity-{name}": name for name in ("resnet10t", "resnet18", "resnet34", "resnet50")}
LIMIT = 80
COLUMNS = ("model", "parameters", *interval("auc"), "images", *interval("robust_at_1"))


def main(asked: Options) -> None:
    points: list[Point] = []
    rows: list[list[object]] = []
    for model in asked.of(MODELS):
        network = robust.load_classifier(folder=asked.folder(model)).network
        parameters = sum(p.numel() for p in network.parameters())
        own = curve(asked, model, LIMIT)
        points += own
        report, _ = audited(
            asked,
            model,
            limit=12 if asked.quick else LIMIT,
            attacks=[PAPER[attack] for attack in FOUR],
            eps=[f"{e:g}/255" for e in ((0.5, 1, 4) if asked.quick else EPS)],
            cells="curve",
        )
        auc = test_scores(asked.folder(model))["auc"]
        worst = {
            round(255 * row.eps, 4): row.robust_accuracy for row in report.worst_cases if row.eps
        }
        rows.append([model, parameters, *numbers(auc), worst[1].cases, *numbers(worst[1])])
        rows[-1].append(f"{least(worst):g}")
        print(f"{model}: {parameters} parameters, AUC {percent(auc)}, at 1/255 {percent(worst[1])}")
    write_table(asked, "capacity", (*COLUMNS, "least_eps_255_that_turns_half"), rows)
    tables(asked, points, "capacity_curves", "capacity_difficulty")
    plot(asked, points, MODELS, "capacity")


def least(worst: dict[float, Estimate]) -> float:
    """The least eps, in 255ths, at which half of the images have fallen; infinite where none."""
    fallen = [eps for eps, kept in sorted(worst.items()) if kept.value <= 0.5]
    return fallen[0] if fallen else float("inf")


if __name__ == "__main__":
    started(main, __doc__)
