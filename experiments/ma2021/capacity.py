"""Does a larger network fall more easily? The sweep that the paper argues from and never ran.

Run: `python -m experiments.ma2021.capacity [--quick]` (about ten minutes on one CPU core). Four
residual networks from a random start, the same chest X-rays at 64 px, the same eight epochs. Writes
`results/capacity.csv`: parameters, clean AUC, accuracy at every eps under the strongest of FGSM,
BIM, PGD and CW (one run of all four in curve cells, of images that are right when clean), and the
least eps at which half of the images have fallen.
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
from robust.records import Estimate

MODELS = ("capacity-resnet10t", "capacity-resnet18", "capacity-resnet34", "capacity-resnet50")
EPS = (0.25, 0.5, 1, 2, 4)
"""In 255ths."""
LIMIT = 40
COLUMNS = ("model", "parameters", *interval("auc"), "images")


def main(asked: Options) -> None:
    rows: list[list[object]] = []
    for model in asked.of(MODELS):
        network = robust.load_classifier(folder=asked.folder(model)).network
        parameters = sum(p.numel() for p in network.parameters())
        report, _ = audited(
            asked,
            model,
            limit=12 if asked.quick else LIMIT,
            attacks=[PAPER[attack] for attack in FOUR],
            eps=[f"{e:g}/255" for e in EPS],
            cells="curve",
        )
        auc = test_scores(asked.folder(model))["auc"]
        worst = {
            round(255 * row.eps, 4): row.robust_accuracy for row in report.worst_cases if row.eps
        }
        kept = [worst[eps] for eps in EPS]
        rows.append([model, parameters, *numbers(auc), kept[0].cases, *numbers(*kept)])
        rows[-1].append(least(worst))
        print(f"{model}: {parameters} parameters, AUC {percent(auc)}", *map(percent, kept))
        names = [f"robust_at_{eps:g}" for eps in EPS]
        ends = (*interval(*names), "least_eps_255_that_turns_half")
        write_table(asked, "capacity", (*COLUMNS, *ends), rows)


def least(worst: dict[float, Estimate]) -> str:
    """The least eps, in 255ths, at which half of the images have fallen."""
    fallen = [eps for eps, kept in sorted(worst.items()) if kept.value <= 0.5]
    return f"{fallen[0]:g}" if fallen else "more"


if __name__ == "__main__":
    started(main, __doc__)
