"""Labels that each criterion needs to reach the accuracy of all of them, beside random choice.

Run: `python -m experiments.labels.tables` after `experiments.labels.measure`. Writes
`results/labels.csv`, `results/tables.md` and `results/curves.png`. An accuracy is reached where the
mean of three rounds in a row, which smooths the noise of one, is within `TOLERANCE` of the mean
accuracy of the networks that learned from all labels. Intervals are over seeds, paired by seed.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from experiments.labels.measure import ALL, RESULTS, SETTINGS, SPLITS, path_of
from experiments.strength.summary import markdown
from robust.metrics.arrays import Array
from robust.report.figures.style import COLOURS, INK, Figure, ReportFigure, style_axes

TOLERANCE = 0.01
SMOOTHED = 3
"""Rounds."""
RANDOM = "random"
HEAD = ("set", "split", "criterion", "seeds", "wanted", "reached_in", "labels_median",
        "labels_low", "labels_high", "last_accuracy", "mean_accuracy", "minus_random",
        "minus_random_low", "minus_random_high")  # fmt: skip


@dataclass(frozen=True)
class Curves:
    """Accuracies of one set on one split."""

    labels: Array
    """Number of labels `(r,)` after each round."""
    of: dict[str, Array]
    """By criterion `(seeds, r)`."""
    all_labels: Array
    """Of the networks that learned from all `(seeds,)`."""

    @property
    def wanted(self) -> float:
        return float(self.all_labels.mean()) - TOLERANCE

    def needed(self, criterion: str) -> Array:
        """Labels at the first of the rounds that reach what is wanted `(seeds,)`; inf: none."""
        every = self.of[criterion]
        window = np.lib.stride_tricks.sliding_window_view(every, SMOOTHED, axis=1).mean(2)
        reached = window >= self.wanted - 1e-9
        first = reached.argmax(1)
        # The last round of the window: by then all of its labels are paid for.
        return np.where(reached.any(1), self.labels[first + SMOOTHED - 1], np.inf)

    def minus_random(self, criterion: str) -> tuple[float, float, float]:
        """Mean accuracy over all rounds against random choice: difference and 95 % interval."""
        by_seed = self.of[criterion].mean(1) - self.of[RANDOM].mean(1)
        mean, count = float(by_seed.mean()), len(by_seed)
        reach = float(stats.t.ppf(0.975, count - 1) * by_seed.std(ddof=1) / math.sqrt(count))
        return mean, mean - reach, mean + reach


def read(path: Path, split: str) -> Curves:
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    seeds = sorted({row["seed"] for row in rows})

    def accuracies(criterion: str) -> Array:
        return np.array(
            [
                [float(r[split]) for r in rows if (r["criterion"], r["seed"]) == (criterion, seed)]
                for seed in seeds
            ]
        )

    names = [name for name in dict.fromkeys(row["criterion"] for row in rows) if name != ALL]
    labels = [float(r["labels"]) for r in rows if (r["criterion"], r["seed"]) == (RANDOM, seeds[0])]
    return Curves(
        np.array(labels), {name: accuracies(name) for name in names}, accuracies(ALL)[:, 0]
    )


def lines(name: str, split: str, found: Curves) -> Iterator[list[object]]:
    for criterion, every in found.of.items():
        needed = np.sort(found.needed(criterion))
        ends = (np.median(needed), needed[0], needed[-1])
        yield [
            *(name, split, criterion, len(every), f"{found.wanted:.4f}"),
            int(np.isfinite(needed).sum()),
            *(f"{value:.0f}" if math.isfinite(value) else "" for value in ends),
            *(f"{value:.4f}" for value in (every[:, -1].mean(), every.mean())),
            *(f"{value:.4f}" for value in found.minus_random(criterion)),
        ]


def page(rows: Sequence[Sequence[object]]) -> str:
    shown = []
    for row in rows:
        one = dict(zip(HEAD, map(str, row), strict=True))
        ends = [f"{100 * float(one[f'minus_random{end}']):+.1f}" for end in ("", "_low", "_high")]
        most = "more than are given"
        labels = [one[f"labels_{end}"] or most for end in ("median", "low", "high")]
        reached = f"{labels[0]} ({labels[1]} to {labels[2]})" if one["labels_low"] else most
        shown.append(
            [
                *(one["set"], one["split"], one["criterion"]),
                f"{one['reached_in']} of {one['seeds']}",
                reached,
                f"{100 * float(one['last_accuracy']):.1f}",
                "" if one["criterion"] == RANDOM else f"{ends[0]} [{ends[1]}, {ends[2]}]",
            ]
        )
    head = ("set", "split", "criterion", "reached in", "labels needed, median (range)",
            "accuracy at the end, %", "mean accuracy less random's, points")  # fmt: skip
    return markdown(head, shown)


def draw(every: dict[tuple[str, str], Curves]) -> Figure:
    """Mean accuracy over seeds: a panel for each set and split."""
    drawn = Figure(figsize=(4.2 * len(every), 3.6), layout="constrained")
    panels = drawn.subplots(1, len(every), squeeze=False)[0]
    for axes, ((name, split), found) in zip(panels, every.items(), strict=True):
        for place, (criterion, values) in enumerate(found.of.items()):
            look = {"color": COLOURS[place % len(COLOURS)], "label": criterion}
            width = 2.2 if criterion == RANDOM else 1.1
            axes.plot(found.labels, values.mean(0), linewidth=width, **look)
        axes.axhline(found.wanted, color=INK, linewidth=0.8, linestyle="--")
        axes.set_title(f"{name}, {split}", color=INK)
        style_axes(axes, "labels", "accuracy")
    panels[0].legend(frameon=False, fontsize=7, loc="lower right")
    return drawn


def main() -> None:
    paths = {name: path_of(name) for name in SETTINGS if path_of(name).exists()}
    every = {(name, split): read(path, split) for name, path in paths.items() for split in SPLITS}
    rows = [line for (name, split), found in every.items() for line in lines(name, split, found)]
    with (RESULTS / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([HEAD, *rows])
    text = page(rows)
    (RESULTS / "tables.md").write_text(f"{text}\n", encoding="utf-8")
    figure = ReportFigure("curves", "", "", lambda: draw(every))
    (RESULTS / "curves.png").write_bytes(figure.png(120))
    print(text)


if __name__ == "__main__":
    main()
