"""Training curves: loss and validation scores by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from robust.report.figures.style import (
    BAND,
    COLOURS,
    MARKERS,
    STYLES,
    Axes,
    Figure,
    ReportFigure,
    style_axes,
)

LOSSES = {"train_loss": "train", "val_loss": "val"}
SCORES = {
    "val_auc": "AUC",
    "val_accuracy": "accuracy",
    "val_robust_accuracy": "robust accuracy",
    "val_dice": "Dice",
    "val_robust_dice": "robust Dice",
}


def training_figure(history: Sequence[Mapping[str, float]], best_epoch: int) -> ReportFigure:
    """The figure of a history with one row per epoch; `best_epoch` counts from 1."""

    def draw() -> Figure:
        figure = Figure(figsize=(9, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        _lines(left, history, LOSSES, best_epoch)
        _lines(right, history, SCORES, best_epoch)
        style_axes(left, "epoch", "loss")
        style_axes(right, "epoch", "on val")
        for axes in (left, right):
            axes.legend(frameon=False, fontsize=9)
        return figure

    last = history[-1]
    name = "val_auc" if "val_auc" in last else "val_dice"
    return ReportFigure(
        "curves",
        "Loss on train and val, and the scores on val, by epoch; the vertical line is the epoch "
        "that was kept.",
        f"{len(history)} epochs, epoch {best_epoch} kept; val {SCORES[name]} at the end "
        f"{last[name]:.3f}.",
        draw,
    )


def _lines(
    axes: Axes, history: Sequence[Mapping[str, float]], names: Mapping[str, str], best: int
) -> None:
    axes.axvline(best, color=BAND, linewidth=1)
    known = {name: label for name, label in names.items() if name in history[0]}
    for i, (name, label) in enumerate(known.items()):
        axes.plot(
            [row["epoch"] for row in history],
            [row[name] for row in history],
            label=label,
            color=COLOURS[i],
            linestyle=STYLES[i],
            marker=MARKERS[i],
            markersize=4,
            linewidth=1.6,
        )
    axes.locator_params(axis="x", integer=True)
