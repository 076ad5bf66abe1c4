"""Accuracy against eps for four attacks on three modalities, and attack difficulty.

Run: `python -m experiments.ma2021.curves [--quick]` (about a quarter of an hour a modality on one
CPU core). Writes `results/curves.csv`, `results/difficulty.csv` and `results/curves.png`.

Each attack is a run of its own, so that no attack profits from another. Its cells are curve cells:
eps upward, and an image that fell at a smaller eps counts as fallen; FGSM, which may do worse with
a longer step, is run in full at every eps and shown as it is. Accuracy is of the images that are
right when clean. Difficulty, after the paper: the least eps at which 99 % of attacks succeed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from experiments.ma2021.common import (
    FOUR,
    PAPER,
    THREE,
    Options,
    audited,
    interval,
    numbers,
    started,
    write_plot,
    write_table,
)
from robust.engine.summary import DIFFICULT
from robust.records import Estimate
from robust.report.figures.style import (
    COLOURS,
    MARKERS,
    STYLES,
    Figure,
    ReportFigure,
    add_legend,
    style_axes,
)

EPS = (0.1, 0.25, 0.5, 0.75, 1, 2, 4, 10)
"""In 255ths."""
LIMIT = 24
COLUMNS = ("model", "attack", "eps_255", "images", "groups", *interval("accuracy"))


@dataclass(frozen=True)
class Point:
    """The accuracy of one attack at one eps, of images that are right when clean."""

    model: str
    attack: str
    eps: float
    """In 255ths."""
    accuracy: Estimate


def curve(
    asked: Options, model: str, limit: int = LIMIT, eps: Sequence[float] = EPS
) -> list[Point]:
    """All four attacks on one model."""
    limit, eps = (12, (0.5, 1, 4)) if asked.quick else (limit, eps)
    points = []
    for attack in FOUR:
        report, _ = audited(
            asked,
            model,
            limit=limit,
            attacks=[PAPER[attack]],
            eps=[f"{e:g}/255" for e in eps],
            cells="curve",
        )
        rows = report.rows if attack == "FGSM" else report.worst_cases
        for row in rows:
            assert row.eps is not None
            points.append(Point(model, attack, round(255 * row.eps, 4), row.robust_accuracy))
    return points


def difficulty(points: Sequence[Point]) -> dict[tuple[str, str], float | None]:
    """By model and attack the least eps, in 255ths, at which 99 % of attacks succeed."""
    found: dict[tuple[str, str], float | None] = {}
    for point in sorted(points, key=lambda point: point.eps):
        key = point.model, point.attack
        if found.setdefault(key, None) is None and 1 - point.accuracy.value >= DIFFICULT:
            found[key] = point.eps
    return found


def tables(asked: Options, points: Sequence[Point], name: str, hard: str) -> None:
    write_table(
        asked,
        name,
        COLUMNS,
        [
            [
                p.model,
                p.attack,
                f"{p.eps:g}",
                p.accuracy.cases,
                p.accuracy.groups,
                *numbers(p.accuracy),
            ]
            for p in points
        ],
    )
    rows = [[*key, "" if eps is None else f"{eps:g}"] for key, eps in difficulty(points).items()]
    write_table(asked, hard, ("model", "attack", "least_eps_255_at_99_percent"), rows)


def draw(points: Sequence[Point], names: dict[str, str]) -> Figure:
    """A panel for each model, a line for each attack, bands for the intervals."""
    figure = Figure(figsize=(3.6 * len(names) + 1.2, 3.4), layout="constrained")
    for place, (model, name) in enumerate(names.items()):
        axes = figure.add_subplot(1, len(names), place + 1)
        for number, attack in enumerate(FOUR):
            own = [p for p in points if (p.model, p.attack) == (model, attack)]
            eps = [p.eps for p in own]
            colour = COLOURS[number]
            axes.plot(
                eps,
                [100 * p.accuracy.value for p in own],
                STYLES[number],
                marker=MARKERS[number],
                markersize=4,
                color=colour,
                label=attack,
            )
            low, high = ([100 * getattr(p.accuracy, end) for p in own] for end in ("low", "high"))
            axes.fill_between(eps, low, high, color=colour, alpha=0.12, linewidth=0)
        axes.set_xscale("log")
        axes.set_xticks([0.1, 0.3, 1, 3, 10], ["0.1", "0.3", "1", "3", "10"])
        axes.set_ylim(-2, 102)
        axes.set_title(name, fontsize=10)
        style_axes(axes, "eps, in 1/255", "" if place else "still right, %")
    add_legend(axes)
    return figure


def plot(asked: Options, points: Sequence[Point], names: dict[str, str], name: str) -> None:
    shown = {
        model: title for model, title in names.items() if any(p.model == model for p in points)
    }
    write_plot(asked, ReportFigure(name, "", "", partial(draw, points, shown)))


def main(asked: Options) -> None:
    points: list[Point] = []
    for model in asked.of(THREE.values()):
        points += curve(asked, model)
        tables(asked, points, "curves", "difficulty")
    plot(asked, points, {model: name for name, model in THREE.items()}, "curves")


if __name__ == "__main__":
    started(main, __doc__)
