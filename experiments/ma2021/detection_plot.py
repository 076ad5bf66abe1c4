"""The transfer matrix as a plot: each detector fitted on each attack, shown every attack.

Run: `python -m experiments.ma2021.detection_plot` (seconds, after `detection.py`). Reads
`results/detection.csv`, writes `results/detection.png`: paired AUC in hundredths, 50 is chance.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from experiments.ma2021.common import Options, read_table, started, write_plot
from robust.report.figures.style import Figure, ReportFigure

ATTACKS = ("FGSM 1/255", "BIM 1/255", "CW 1/255", "PGD 0.5/255", "PGD 1/255", "PGD 4/255")
COLUMNS = ("model", "detector", "fitted_on", "shown")
DETECTORS = ("KernelDensity", "LID", "Mahalanobis", "DeepFeatures", "QuantizedFeatures")


def draw(rows: list[dict[str, str]]) -> Figure:
    """A row of panels for each model, a panel for each detector."""
    found = {
        (row["model"], row["detector"], row["fitted_on"], row["shown"]): float(
            row["paired_auc"] or "nan"
        )
        for row in rows
    }
    models = list(dict.fromkeys(row["model"] for row in rows))
    figure = Figure(figsize=(14, 3 * len(models) + 0.8), layout="constrained")
    panels = figure.subplots(len(models), len(DETECTORS), sharex=True, sharey=True, squeeze=False)
    places = range(len(ATTACKS))
    for line, model in zip(panels, models):
        for axes, detector in zip(line, DETECTORS):
            grid = np.array(
                [
                    [found.get((model, detector, fitted, shown), np.nan) for shown in ATTACKS]
                    for fitted in ATTACKS
                ]
            )
            axes.imshow(grid, cmap="RdBu", vmin=0, vmax=1)
            for (i, j), value in np.ndenumerate(grid):
                if np.isfinite(value):
                    ink = "white" if abs(value - 0.5) > 0.35 else "black"
                    text = f"{100 * value:.0f}"
                    axes.text(j, i, text, ha="center", va="center", fontsize=8, color=ink)
            axes.set_title(f"{detector}, {model}", fontsize=9)
            axes.set_xticks(places, ATTACKS, rotation=90, fontsize=8)
            axes.set_yticks(places, ATTACKS, fontsize=8)
    figure.supxlabel("shown", fontsize=9)
    figure.supylabel("fitted on", fontsize=9)
    return figure


def main(asked: Options) -> None:
    rows = read_table(asked.results() / "detection.csv")
    write_plot(asked, ReportFigure("detection", "", "", partial(draw, rows)))


if __name__ == "__main__":
    started(main, __doc__)
